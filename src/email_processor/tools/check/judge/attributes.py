"""The queue's attributes: what an operator will wish to have known before."""

from collections.abc import Iterator, Mapping

from email_processor.settings import MESSAGE_MAX_BYTES, Settings
from email_processor.tools.check.findings import Finding, blocked, ok, skipped, warning
from email_processor.tools.check.fixes import command, queue_arn, set_queue_attributes
from email_processor.tools.check.inspect.asking import Answer, Fault, Unasked
from email_processor.tools.check.inspect.queue import RECEIVES_TO_SPARE, redrive_of

CODES = ("EP311", "EP312", "EP313", "EP314")
HOUR = 3_600
DAY = 24 * HOUR
RETENTION_MIN = 4 * DAY
RETENTION_MAX = 14 * DAY
KIB = 1024


def judge_attributes(attributes: Answer[Mapping[str, str]], settings: Settings) -> Iterator[Finding]:
    """Nothing here stops the service."""
    if isinstance(attributes, Fault | Unasked):
        for code in CODES:
            finding = blocked(code, attributes, missing="the queue")
            yield finding if isinstance(finding, Finding) else skipped(code, "needs sqs:GetQueueAttributes")
        return
    yield _dead_letters(attributes, settings)
    yield _retention(attributes, settings)
    yield _encryption(attributes, settings)
    yield _size(attributes, settings)


def _dead_letters(attributes: Mapping[str, str], settings: Settings) -> Finding:
    url, region = settings.sqs_queue_url, settings.aws_region
    redrive = redrive_of(attributes)
    if redrive is None:
        name = url.rpartition("/")[2]
        fifo = name.endswith(".fifo")
        dead = f"{name.removesuffix('.fifo')}-dead{'.fifo' if fifo else ''}"
        kind = ",FifoQueue=true" if fifo else ""
        return warning(
            "EP311",
            "none: what cannot be handled comes back until it expires",
            fix="Give it one:\n"
            + command("aws", "sqs", "create-queue", "--region", region, "--queue-name", dead)
            + f" --attributes MessageRetentionPeriod={RETENTION_MAX}{kind}\n"
            + set_queue_attributes(url, region, RedrivePolicy=_policy(url, region, dead, 5)),
        )
    dead = redrive.target.rpartition(":")[2]
    if redrive.limit < RECEIVES_TO_SPARE:
        policy = _policy(url, region, dead, 5)
        return warning(
            "EP311",
            f"maxReceiveCount {redrive.limit} is low: a restart of pods moves good emails to {dead}",
            fix=f"Allow more receives:\n{set_queue_attributes(url, region, RedrivePolicy=policy)}",
        )
    return ok("EP311", f"{dead} (maxReceiveCount {redrive.limit})")


def _policy(url: str, region: str, dead: str, limit: int) -> str:
    target = queue_arn(f"{url.rpartition('/')[0]}/{dead}", region)
    return f'{{"deadLetterTargetArn":"{target}","maxReceiveCount":"{limit}"}}'


def _retention(attributes: Mapping[str, str], settings: Settings) -> Finding:
    seconds = _number(attributes, "MessageRetentionPeriod")
    if seconds is None:
        return skipped("EP312", "the queue does not say")
    if seconds < RETENTION_MIN:
        change = set_queue_attributes(
            settings.sqs_queue_url, settings.aws_region, MessageRetentionPeriod=str(RETENTION_MAX)
        )
        return warning(
            "EP312",
            f"{_days(seconds)}: an outage of that length loses emails",
            fix=f"Keep messages for the 14 days that SQS allows:\n{change}",
        )
    return ok("EP312", _days(seconds))


def _days(seconds: int) -> str:
    for name, unit in (("days", DAY), ("h", HOUR)):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds} s"


def _encryption(attributes: Mapping[str, str], settings: Settings) -> Finding:
    key = attributes.get("KmsMasterKeyId")
    if key:
        return ok("EP313", f"KMS, with {key}")
    if attributes.get("SqsManagedSseEnabled") == "true":
        return ok("EP313", "SSE-SQS")
    change = set_queue_attributes(settings.sqs_queue_url, settings.aws_region, SqsManagedSseEnabled="true")
    return warning(
        "EP313", "none at rest", fix=f"Switch SSE-SQS on; it costs nothing and needs no permission:\n{change}"
    )


def _size(attributes: Mapping[str, str], settings: Settings) -> Finding:
    size = _number(attributes, "MaximumMessageSize")
    if size is None:
        return skipped("EP314", "the queue does not say")
    if size > MESSAGE_MAX_BYTES:
        return warning(
            "EP314",
            f"up to {size // KIB} KiB, more than the {MESSAGE_MAX_BYTES // KIB} KiB that memory is reckoned with",
            fix="Lower the queue's MaximumMessageSize, or raise IN_FLIGHT_MAX_BYTES and the memory limit with it:\n"
            + set_queue_attributes(
                settings.sqs_queue_url, settings.aws_region, MaximumMessageSize=str(MESSAGE_MAX_BYTES)
            ),
        )
    return ok("EP314", f"up to {size // KIB} KiB")


def _number(attributes: Mapping[str, str], name: str) -> int | None:
    text = attributes.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else None
