"""The queue: reaching it, what we may do with it, and what an operator will wish to have known before."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from email_processor.aws.endpoints import is_public
from email_processor.aws.inbox import UNDATED_FIX
from email_processor.domain.errors import Cause
from email_processor.domain.message import MESSAGE_MAX_BYTES
from email_processor.settings import Settings, queue_region
from email_processor.tools.check.codes import Group
from email_processor.tools.check.examine import AwsFacts
from email_processor.tools.check.findings import (
    ENDPOINT_FIX,
    Finding,
    Permission,
    Status,
    blocked,
    command,
    failed,
    ok,
    queue_arn,
    set_queue_attributes,
    skip_group,
    skipped,
    warning,
)
from email_processor.tools.check.inspect.asking import WITHOUT_WRITE, Failure, Unasked, is_aws, origin_of
from email_processor.tools.check.inspect.queue import RECEIVES_TO_SPARE, QueueFacts, redrive_of

GET_ATTRIBUTES = Permission(
    "EP304",
    Status.WARNING,
    "no metrics of the queue's depth, and no quarantine on a message's last receive",
    unclear=Status.FAILED,  # what has no depth may be no queue at all
)
RECEIVE = Permission("EP305", Status.FAILED, "nothing can be received")
DELETE = Permission("EP306", Status.FAILED, "what is stored stays on the queue and comes back")
CHANGE_VISIBILITY = Permission(
    "EP307",
    Status.WARNING,
    "leases are not renewed, so what is in flight for longer than VISIBILITY_TIMEOUT_SECONDS is received again",
)
ATTRIBUTE_CODES = ("EP311", "EP312", "EP313", "EP314")
HOUR = 3_600
DAY = 24 * HOUR
RETENTION_MIN = 4 * DAY
RETENTION_MAX = 14 * DAY
KIB = 1024


def judge_queue(facts: AwsFacts) -> Iterator[Finding]:
    """From the way there to the finer points."""
    queue = facts.queue
    if isinstance(queue, Unasked):
        yield from skip_group(Group.QUEUE, f"needs {queue.needs}")
        return
    if queue.unreachable is not None:
        where = f"no answer from {origin_of(queue.endpoint)}"
        yield failed("EP301", where, error=queue.unreachable.error, fix=queue.unreachable.fix or ENDPOINT_FIX)
    else:
        yield ok("EP301", f"{origin_of(queue.endpoint)} answers")
    yield _same_place(facts, queue)
    yield _exists(facts, queue)
    yield _readable(facts, queue)
    yield _receive(facts, queue)
    for permission, answer in ((DELETE, queue.delete), (CHANGE_VISIBILITY, queue.change_visibility)):
        yield (
            _refused(permission, answer, facts)
            if isinstance(answer, Failure | Unasked)
            else ok(permission.code, "allowed")
        )
    yield from _attributes(queue, facts.settings)
    yield _times(facts, queue)


def _same_place(facts: AwsFacts, queue: QueueFacts) -> Finding:
    url = facts.settings.sqs_queue_url
    host = urlsplit(url).hostname or ""
    is_same = host == urlsplit(queue.endpoint).hostname
    if is_same or (is_aws(url) == is_aws(queue.endpoint) and (is_public(host) or not is_aws(url))):
        return ok("EP302", url)
    return warning(
        "EP302",
        f"is at {origin_of(url)}, but requests go to {origin_of(queue.endpoint)}",
        fix="Set AWS_ENDPOINT_URL_SQS to where the queue is; or take AWS_ENDPOINT_URL, AWS_USE_FIPS_ENDPOINT and "
        "AWS_USE_DUALSTACK_ENDPOINT away, and the queue is asked at the host of its URL.",
    )


def _exists(facts: AwsFacts, queue: QueueFacts) -> Finding:
    faults = [answer for answer in queue.answers if isinstance(answer, Failure)]
    gone = [fault for fault in faults if fault.cause is Cause.MISSING]
    if gone:
        url, region = facts.settings.sqs_queue_url, queue_region(facts.settings)
        name = url.rpartition("/")[2]
        where = f"SQS in {region}" if is_aws(queue.endpoint) else origin_of(queue.endpoint)
        is_sqs = not gone[0].code.isdecimal()  # else a bare HTTP status, which SQS never sends
        return failed(
            "EP303",
            f"{where} knows no such queue" if is_sqs else f"{origin_of(queue.endpoint)} does not look like SQS",
            error=gone[0].error,
            fix="Correct SQS_QUEUE_URL or SQS_REGION; these are there:\n"
            + command(queue.endpoint, "sqs", "list-queues", "--region", region, "--queue-name-prefix", name[:4]),
        )
    if any(not isinstance(answer, Failure | Unasked) for answer in queue.answers):
        return ok("EP303", queue_arn(facts.settings.sqs_queue_url, queue_region(facts.settings)))
    unsure = next(answer for answer in queue.answers if isinstance(answer, Failure | Unasked))
    finding = blocked("EP303", unsure, missing="the queue")
    return finding if isinstance(finding, Finding) else skipped("EP303", "SQS does not say", error=finding.error)


def _readable(facts: AwsFacts, queue: QueueFacts) -> Finding:
    answer = queue.attributes
    if isinstance(answer, Failure | Unasked):
        return _refused(GET_ATTRIBUTES, answer, facts)
    visible, in_flight, delayed = (
        answer.get(f"ApproximateNumberOfMessages{kind}", "?") for kind in ("", "NotVisible", "Delayed")
    )
    kind = "FIFO" if answer.get("FifoQueue") == "true" else "standard"
    return ok("EP304", f"{kind} queue (visible {visible}, in flight {in_flight}, delayed {delayed})")


def _receive(facts: AwsFacts, queue: QueueFacts) -> Finding:
    answer = queue.receive
    if isinstance(queue.attributes, Failure) and queue.attributes.cause is Cause.MISSING:
        return skipped("EP305", "needs the queue")
    if answer == WITHOUT_WRITE:
        return skipped("EP305", "needs --write: only a receive can show it, and that counts against maxReceiveCount")
    if isinstance(answer, Failure) and answer.cause is Cause.ENCRYPTION:
        return skipped("EP305", "needs the queue's key")
    if isinstance(answer, Failure | Unasked):
        return _refused(RECEIVE, answer, facts)
    if answer:
        return ok("EP305", "allowed (one message was received and given back at once, which counts as a receive)")
    return ok("EP305", "allowed (no message was waiting)")


def _refused(permission: Permission, answer: Failure | Unasked, facts: AwsFacts) -> Finding:
    arn = queue_arn(facts.settings.sqs_queue_url, queue_region(facts.settings))
    return permission.refused(answer, arn, facts.identity, missing="the queue")


def _attributes(queue: QueueFacts, settings: Settings) -> Iterator[Finding]:
    """Nothing here stops the service."""
    attributes, at = queue.attributes, queue.endpoint
    if isinstance(attributes, Failure | Unasked):
        for code in ATTRIBUTE_CODES:
            finding = blocked(code, attributes, missing="the queue")
            yield finding if isinstance(finding, Finding) else skipped(code, "needs sqs:GetQueueAttributes")
        return
    yield _dead_letters(attributes, settings, at)
    yield _retention(attributes, settings, at)
    yield _encryption(attributes, settings, at)
    yield _size(attributes, settings, at)


def _dead_letters(attributes: Mapping[str, str], settings: Settings, at: str) -> Finding:
    url, region = settings.sqs_queue_url, queue_region(settings)
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
            + command(at, "sqs", "create-queue", "--region", region, "--queue-name", dead)
            + f" --attributes MessageRetentionPeriod={RETENTION_MAX}{kind}\n"
            + set_queue_attributes(at, url, region, RedrivePolicy=_policy(url, region, dead, 5)),
        )
    dead = redrive.target.rpartition(":")[2]
    if redrive.limit < RECEIVES_TO_SPARE:
        policy = _policy(url, region, dead, 5)
        return warning(
            "EP311",
            f"maxReceiveCount {redrive.limit} is low: a restart of pods moves good emails to {dead}",
            fix=f"Allow more receives:\n{set_queue_attributes(at, url, region, RedrivePolicy=policy)}",
        )
    return ok("EP311", f"{dead} (maxReceiveCount {redrive.limit})")


def _policy(url: str, region: str, dead: str, limit: int) -> str:
    target = queue_arn(f"{url.rpartition('/')[0]}/{dead}", region)
    return f'{{"deadLetterTargetArn":"{target}","maxReceiveCount":"{limit}"}}'


def _retention(attributes: Mapping[str, str], settings: Settings, at: str) -> Finding:
    seconds = _number(attributes, "MessageRetentionPeriod")
    if seconds is None:
        return skipped("EP312", "the queue does not say")
    if seconds < RETENTION_MIN:
        change = set_queue_attributes(
            at, settings.sqs_queue_url, queue_region(settings), MessageRetentionPeriod=str(RETENTION_MAX)
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


def _encryption(attributes: Mapping[str, str], settings: Settings, at: str) -> Finding:
    key = attributes.get("KmsMasterKeyId")
    if key:
        return ok("EP313", f"KMS, with {key}")
    if attributes.get("SqsManagedSseEnabled") == "true":
        return ok("EP313", "SSE-SQS")
    if not is_aws(at):
        return warning("EP313", "this server tells of none at rest", fix="Encrypt the disks that its messages lie on.")
    change = set_queue_attributes(at, settings.sqs_queue_url, queue_region(settings), SqsManagedSseEnabled="true")
    return warning(
        "EP313", "none at rest", fix=f"Switch SSE-SQS on; it costs nothing and needs no permission:\n{change}"
    )


def _size(attributes: Mapping[str, str], settings: Settings, at: str) -> Finding:
    size = _number(attributes, "MaximumMessageSize")
    if size is None:
        return skipped("EP314", "the queue does not say")
    if size > MESSAGE_MAX_BYTES:
        return warning(
            "EP314",
            f"up to {size // KIB} KiB, more than the {MESSAGE_MAX_BYTES // KIB} KiB that memory is reckoned with",
            fix="Lower the queue's MaximumMessageSize, or raise IN_FLIGHT_MAX_BYTES and the memory limit with it:\n"
            + set_queue_attributes(
                at, settings.sqs_queue_url, queue_region(settings), MaximumMessageSize=str(MESSAGE_MAX_BYTES)
            ),
        )
    return ok("EP314", f"up to {size // KIB} KiB")


def _times(facts: AwsFacts, queue: QueueFacts) -> Finding:
    key_time = facts.settings.s3_key_time
    if isinstance(queue.attributes, Failure | Unasked):
        finding = blocked("EP315", queue.attributes, missing="the queue")
        if isinstance(finding, Finding):
            return finding
    if isinstance(queue.is_dated, Unasked):
        return skipped("EP315", f"needs {queue.is_dated.needs}")
    if queue.is_dated:
        return ok("EP315", f"messages tell the time that S3_KEY_TIME={key_time} asks for")
    return warning(
        "EP315", f"a message does not tell the time that S3_KEY_TIME={key_time} asks for", fix=UNDATED_FIX[key_time]
    )


def _number(attributes: Mapping[str, str], name: str) -> int | None:
    text = attributes.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else None
