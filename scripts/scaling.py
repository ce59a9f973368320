"""The model behind the tables of docs/scaling.md: its figures stand here, `make docs` writes what follows from them."""

from math import ceil

from email_processor.container import UNLIMITED_BYTES as MEMORY
from email_processor.pipeline.ceilings import Ceilings
from email_processor.ports import BATCH, Limits

Row = tuple[str, ...]

# Measured in a pod's cgroup: (emails, emails a second, CPU seconds a message, MiB of anonymous memory, p99 in seconds).
MEASURED = (
    ("1 KiB", 916, 217e-6, 57, 0.1),
    ("4 KiB", 792, 250e-6, 58, 0.1),
    ("4 KiB, 40 ms a PUT", 880, 225e-6, 64, 0.9),
    ("4 KiB, TLS, 10 ms a PUT", 722, 258e-6, 70, 1.4),
    ("64 KiB, TLS, 10 ms a PUT", 218, 892e-6, 95, 0.7),
    ("1 MiB, TLS, 10 ms a PUT", 19.4, 9679e-6, 155, 1.4),
    ("4 KiB, 150 sent a second, 10 ms a PUT", 150, 487e-6, 57, 0.01),
    ("4 KiB, 600 sent a second, 10 ms a PUT", 592, 333e-6, 57, 0.07),
)

COST = {what: cpu for what, _, cpu, _, _ in MEASURED}  # CPU seconds a message

# Of one pod.
CPU = COST["4 KiB, TLS, 10 ms a PUT"]
QUOTA = 0.2  # cores
SHARE = 0.7  # of it that is planned with
IN_FLIGHT = Ceilings.of(Limits(MEMORY, descriptors=4096), batch=BATCH).budget.max_messages
START = 0.6  # CPU seconds
# Of the example.
DAILY = 100e6  # emails
PEAK = 3  # over mean
OBJECT = 4500  # bytes
QUEUE_LENGTH = 5000  # autoscaling.queueLength
REACTION = 60  # seconds until more pods work
# List prices of us-east-1 in dollars, as of 2025.
PUT = 5.00 / 1e6
SQS = 0.40 / 1e6
KMS = 3.00 / 1e6
CORE_HOUR = 0.05
GB_MONTH = 0.023
NAT_GB = 0.045
ENDPOINT_GB, ENDPOINT_HOUR, ZONES = 0.01, 0.01, 3

RATE = QUOTA / CPU
MEAN = DAILY / 86_400
BUSY = PEAK * MEAN


def pods(rate: float, cpu: float = CPU) -> int:
    """How many pods archive `rate` emails a second at `cpu` seconds each."""
    return ceil(rate * cpu / (QUOTA * SHARE))


def measured() -> list[Row]:
    """What one pod archives, and what it takes for it: a row for each size of emails and each way to send them."""
    return [
        (what, f"{rate:,}", f"{cpu * 1e6:,.0f} µs", f"{memory} MiB", f"{late} s")
        for what, rate, cpu, memory, late in MEASURED
    ]


def figures() -> list[Row]:
    """What the model is made of."""
    return [
        ("`c`", "CPU a message: emails of 4 KiB over TLS, a backlog", f"{CPU * 1e6:.0f} µs", "measured, below"),
        ("`q`", "CPU limit of a pod", f"{QUOTA:g} cores", "the chart's default"),
        ("`u`", "share of it that is planned with", f"{SHARE:g}", "room for a pod that is lost, and for starts"),
        (
            "`h`",
            "messages in flight of a pod, at most",
            f"{IN_FLIGHT:,}",
            "the memory limit: one for each 128 KiB of it",
        ),
        ("`d`", "emails a day", f"{DAILY:,.0f}", "the example"),
        ("`p`", "peak over mean", f"{PEAK}", "the example; look at your own"),
        ("`s`", "bytes of an object", f"{OBJECT:,}", "4 KiB, and what the document adds"),
    ]


def day() -> list[Row]:
    """What follows for a day."""
    waiting = max(0.0, (BUSY - pods(MEAN) * RATE) * REACTION)
    return [
        ("`r`, emails a second of a pod", "`q / c`", f"{RATE:,.0f}"),
        ("mean, emails a second", "`d / 86400`", f"{MEAN:,.0f}"),
        ("peak, emails a second", "`p * mean`", f"{BUSY:,.0f}"),
        ("**pods at the mean**", "`mean * c / (q * u)`", f"**{pods(MEAN)}**"),
        ("**pods at the peak**, `maxReplicas`", "`peak * c / (q * u)`", f"**{pods(BUSY)}**"),
        (
            "the same with emails of 64 KiB, of 1 MiB",
            "with their `c`",
            ", ".join(f"{pods(BUSY, COST[it])}" for it in COST if it.startswith(("64 KiB", "1 MiB"))),
        ),
        ("seconds to the first receive", "CPU of a start `/ q`", f"{START / QUOTA:.0f}"),
        (
            f"wait that `queueLength: {QUEUE_LENGTH}` tolerates, seconds",
            "`queueLength / r`",
            f"{QUEUE_LENGTH / RATE:.0f}",
        ),
        ("waiting a minute after a jump from mean to peak", "`(peak - pods * r) * 60`", f"{waiting:,.0f}"),
        ("seconds until that is done", "waiting `/ (pods * r - peak)`", f"{waiting / (pods(BUSY) * RATE - BUSY):.0f}"),
        ("in flight to keep 40 ms PUTs and 200 ms of linger busy", "`r * 0.24`", f"{RATE * 0.24:.0f}"),
    ]


def dollars() -> list[Row]:
    """What AWS charges for a day's emails, item by item."""
    compute = MEAN * CPU / SHARE * 24
    volume = DAILY * OBJECT / 1e9
    traffic = 2 * volume
    endpoint = volume * ENDPOINT_GB + 24 * ZONES * ENDPOINT_HOUR
    return [
        ("S3 PUT", "`d`", f"${PUT * 1e6:.2f} a million", f"**{_money(DAILY * PUT)}**"),
        ("SQS receive and delete, batches of ten", "0.2 `d`", f"${SQS * 1e6:.2f} a million", _money(0.2 * DAILY * SQS)),
        ("the same in a trickle", "up to 1.1 `d`", "", f"up to {_money(1.1 * DAILY * SQS)}"),
        (
            "KMS, bucket key on",
            "at most 1 % of `d`",
            f"${KMS * 1e6:.2f} a million",
            f"at most {_money(DAILY / 100 * KMS)}",
        ),
        ("KMS, bucket key off", "`d`", "", _money(DAILY * KMS)),
        (
            "compute",
            f"`mean * c / u` for 24 h = {compute:.0f} core hours",
            f"${CORE_HOUR} a core hour",
            _money(compute * CORE_HOUR),
        ),
        (
            "network, by a NAT gateway",
            f"about `2 * d * s` = {traffic:,.0f} GB",
            f"${NAT_GB} a GB",
            _money(traffic * NAT_GB),
        ),
        (
            "network, by endpoints",
            f"S3's is free; SQS's, in {ZONES} zones",
            f"${ENDPOINT_GB} a GB, ${ENDPOINT_HOUR} an hour",
            _money(endpoint),
        ),
        (
            "Standard storage of this one day",
            f"`d * s` = {volume:,.0f} GB",
            f"${GB_MONTH} a month",
            f"{_money(volume * GB_MONTH)} a month",
        ),
    ]


def _money(amount: float) -> str:
    return f"${amount:,.0f}" if amount >= 1 else f"${amount:.2f}"
