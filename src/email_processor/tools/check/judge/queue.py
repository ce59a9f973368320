"""The queue: reaching it, and what we may do with it."""

from collections.abc import Iterator

from email_processor.domain.errors import Cause
from email_processor.tools.check.codes import Group
from email_processor.tools.check.facts import Facts
from email_processor.tools.check.findings import Finding, Status, blocked, failed, ok, skip_group, skipped, warning
from email_processor.tools.check.fixes import ENDPOINT_FIX, command, queue_arn
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.places import is_aws, origin_of
from email_processor.tools.check.inspect.queue import QueueFacts
from email_processor.tools.check.judge.attributes import judge_attributes
from email_processor.tools.check.permissions import Permission

GET_ATTRIBUTES = Permission(
    "EP304", Status.WARNING, "no metrics of the queue's depth, and no quarantine on a message's last receive"
)
RECEIVE = Permission("EP305", Status.FAILED, "nothing can be received")
DELETE = Permission("EP306", Status.FAILED, "what is stored stays on the queue and comes back")
CHANGE_VISIBILITY = Permission(
    "EP307",
    Status.WARNING,
    "leases are not renewed, so what is in hand for longer than VISIBILITY_TIMEOUT_SECONDS is received again",
)


def judge_queue(facts: Facts) -> Iterator[Finding]:
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
            if isinstance(answer, Fault | Unasked)
            else ok(permission.code, "allowed")
        )
    yield from judge_attributes(queue.attributes, facts.settings)


def _same_place(facts: Facts, queue: QueueFacts) -> Finding:
    url = facts.settings.sqs_queue_url
    if is_aws(url) == is_aws(queue.endpoint):
        return ok("EP302", url)
    return warning(
        "EP302",
        f"is at {origin_of(url)}, but requests go to {origin_of(queue.endpoint)}",
        fix="Set AWS_ENDPOINT_URL (or AWS_ENDPOINT_URL_SQS) if the queue is not at AWS; take it away if it is.",
    )


def _exists(facts: Facts, queue: QueueFacts) -> Finding:
    answers = (queue.attributes, queue.delete, queue.change_visibility, queue.receive)
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    gone = [fault for fault in faults if fault.cause is Cause.MISSING]
    if gone:
        url, region = facts.settings.sqs_queue_url, facts.settings.aws_region
        name = url.rpartition("/")[2]
        is_sqs = not gone[0].code.isdecimal()  # else a bare HTTP status, which SQS never sends
        return failed(
            "EP303",
            f"SQS in {region} knows no such queue" if is_sqs else f"{origin_of(queue.endpoint)} does not look like SQS",
            error=gone[0].error,
            fix="Correct SQS_QUEUE_URL or AWS_REGION; these are there:\n"
            + command("aws", "sqs", "list-queues", "--region", region, "--queue-name-prefix", name[:4]),
        )
    if any(not isinstance(answer, Fault | Unasked) for answer in answers):
        return ok("EP303", queue_arn(facts.settings.sqs_queue_url, facts.settings.aws_region))
    unsure = next(answer for answer in answers if isinstance(answer, Fault | Unasked))
    finding = blocked("EP303", unsure, missing="the queue")
    return finding if isinstance(finding, Finding) else skipped("EP303", "SQS does not say", error=finding.error)


def _readable(facts: Facts, queue: QueueFacts) -> Finding:
    answer = queue.attributes
    if isinstance(answer, Fault | Unasked):
        return _refused(GET_ATTRIBUTES, answer, facts)
    visible, in_flight, delayed = (
        answer.get(f"ApproximateNumberOfMessages{kind}", "?") for kind in ("", "NotVisible", "Delayed")
    )
    kind = "FIFO" if answer.get("FifoQueue") == "true" else "standard"
    return ok("EP304", f"{kind} queue (visible {visible}, in flight {in_flight}, delayed {delayed})")


def _receive(facts: Facts, queue: QueueFacts) -> Finding:
    answer = queue.receive
    if isinstance(queue.attributes, Fault) and queue.attributes.cause is Cause.MISSING:
        return skipped("EP305", "needs the queue")
    if isinstance(answer, Unasked) and answer.needs == "--write":
        return skipped("EP305", "needs --write: only a receive can show it, and that counts against maxReceiveCount")
    if isinstance(answer, Fault) and answer.cause is Cause.ENCRYPTION:
        return skipped("EP305", "needs the queue's key")
    if isinstance(answer, Fault | Unasked):
        return _refused(RECEIVE, answer, facts)
    if answer:
        return ok("EP305", "allowed (one message was received and given back at once, which counts as a receive)")
    return ok("EP305", "allowed (no message was waiting)")


def _refused(permission: Permission, answer: Fault | Unasked, facts: Facts) -> Finding:
    arn = queue_arn(facts.settings.sqs_queue_url, facts.settings.aws_region)
    return permission.refused(answer, arn, facts.identity, missing="the queue")
