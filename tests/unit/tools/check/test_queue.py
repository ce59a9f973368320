"""Findings about the queue and what may be done with it."""

import json
from dataclasses import replace

import pytest

from email_processor.domain.errors import Cause
from email_processor.tools.check.check import judge
from email_processor.tools.check.inspect.asking import Failure, Unasked
from email_processor.tools.check.judge.queue import CHANGE_VISIBILITY
from tests.unit.tools.check.known import (
    ACCOUNT,
    ATTRIBUTES,
    DENIED,
    MISSING,
    NO_WRITE,
    QUEUE_ARN,
    QUEUE_URL,
    SQS,
    TIMEOUT,
    attributes,
    facts,
    found,
    queue,
    settings,
    told,
)

VPC = "https://vpce-0a1b2c3d4e5f-abcdefgh.sqs.us-east-1.vpce.amazonaws.com"
VPC_URL = f"{VPC}/123456789012/emails"


def test_all_well() -> None:
    """Each line shows what was seen."""
    assert [
        ("EP301", f"ok: {SQS} answers"),
        ("EP302", f"ok: {QUEUE_URL}"),
        ("EP303", f"ok: {QUEUE_ARN}"),
        ("EP304", "ok: standard queue (visible 12, in flight 3, delayed 1)"),
        ("EP306", "ok: allowed"),
        ("EP307", "ok: allowed"),
    ] == [(code, told(code, queue())) for code in ("EP301", "EP302", "EP303", "EP304", "EP306", "EP307")]


def test_fifo() -> None:
    """A FIFO queue is called one."""
    known = attributes(FifoQueue="true")
    assert "ok: FIFO queue (visible 12, in flight 3, delayed 1)" == told("EP304", known)


def test_unreachable() -> None:
    """What does not answer is named, without the password that may stand in its URL."""
    no = Unasked("an answer of SQS")
    known = queue(
        endpoint="http://user:secret@10.0.0.1:99/x",
        unreachable=TIMEOUT,
        attributes=no,
        delete=no,
        change_visibility=no,
        receive=no,
    )
    assert "failed: no answer from http://10.0.0.1:99" == told("EP301", known)
    for code in ("EP303", "EP304", "EP305", "EP306", "EP311", "EP315"):
        assert "skipped: needs an answer of SQS" == told(code, known)


def test_answer_that_cannot_be_understood() -> None:
    """What has no fix of its own is about the endpoint."""
    known = queue(unreachable=Failure(Cause.SERVER, "ResponseParserError: No.", ""))
    assert f"failed: no answer from {SQS}" == told("EP301", known)
    assert "AWS_ENDPOINT_URL" in found("EP301", known).fix


@pytest.mark.parametrize(
    ("url", "endpoint", "expected"),
    [
        (QUEUE_URL, "https://vpce-1.sqs.us-east-1.vpce.amazonaws.com", f"ok: {QUEUE_URL}"),
        ("http://localstack:4566/000000000000/q", "http://127.0.0.1:4566", "ok: http://localstack:4566/000000000000/q"),
        (VPC_URL, SQS, f"warning: is at {VPC}, but requests go to {SQS}"),
        (VPC_URL, VPC, f"ok: {VPC_URL}"),
        (QUEUE_URL, "http://127.0.0.1:4566", f"warning: is at {SQS}, but requests go to http://127.0.0.1:4566"),
        (
            "http://127.0.0.1:4566/000000000000/q",
            SQS,
            f"warning: is at http://127.0.0.1:4566, but requests go to {SQS}",
        ),
    ],
)
def test_url_and_endpoint(url: str, endpoint: str, expected: str) -> None:
    """A queue at AWS and an endpoint elsewhere, or the other way round, do not belong together."""
    known = facts(settings=settings(sqs_queue_url=url), queue=queue(endpoint=endpoint).queue)
    assert expected == told("EP302", known)
    assert expected.startswith("warning: ") == ("Set AWS_ENDPOINT_URL_SQS to" in found("EP302", known).fix)


def test_missing() -> None:
    """A queue that does not exist fails once; all else about it is skipped."""
    known = queue(attributes=MISSING, delete=MISSING, change_visibility=MISSING, receive=NO_WRITE)
    assert "failed: SQS in us-east-1 knows no such queue" == told("EP303", known)
    assert "aws sqs list-queues --region us-east-1" in found("EP303", known).fix
    for code in ("EP304", "EP305", "EP306", "EP307", "EP311", "EP314", "EP315", "EP503"):
        assert "skipped: needs the queue" == told(code, known)


def test_commands_go_where_the_queue_is() -> None:
    """A server that is not AWS is asked by its endpoint, and nothing is proposed that only SQS knows."""
    elsewhere = "http://127.0.0.1:9324"
    gone = queue(endpoint=elsewhere, attributes=MISSING, delete=MISSING, change_visibility=MISSING)
    assert f"failed: {elsewhere} knows no such queue" == told("EP303", gone)
    bare = queue(endpoint=elsewhere, attributes={"MessageRetentionPeriod": "60", "MaximumMessageSize": "2097152"})
    assert "warning: this server tells of none at rest" == told("EP313", bare)
    commands = [line for finding in [*judge(gone), *judge(bare)] for line in finding.fix.splitlines() if "aws " in line]
    assert 5 == len(commands)
    assert all(line.startswith(f"aws --endpoint-url {elsewhere} sqs ") for line in commands)


def test_sovereign_cloud_is_aws() -> None:
    """The European Sovereign Cloud has a domain of its own, and is asked like the rest of AWS."""
    region = "eusc-de-east-1"
    at = f"https://sqs.{region}.amazonaws.eu"
    chosen = settings(sqs_queue_url=f"{at}/{ACCOUNT}/emails", aws_region=region)
    known = facts(settings=chosen, queue=queue(endpoint=at, attributes=MISSING, delete=MISSING).queue)
    assert f"failed: SQS in {region} knows no such queue" == told("EP303", known)
    assert f"aws sqs list-queues --region {region}" in found("EP303", known).fix
    denied = replace(known, queue=queue(endpoint=at, delete=DENIED).queue)
    assert f'"arn:aws-eusc:sqs:{region}:{ACCOUNT}:emails"' in found("EP306", denied).fix


def test_missing_where_there_is_no_sqs() -> None:
    """A bare 404 is not what SQS says of a queue."""
    known = queue(attributes=Failure(Cause.MISSING, "404", "", "404"), delete=MISSING, change_visibility=MISSING)
    assert f"failed: {SQS} does not look like SQS" == told("EP303", known)


@pytest.mark.parametrize(
    ("fact", "code", "status", "evidence", "action"),
    [
        (
            "attributes",
            "EP304",
            "warning",
            "denied: no metrics of the queue's depth, and no quarantine on a message's last receive",
            "sqs:GetQueueAttributes",
        ),
        ("receive", "EP305", "failed", "denied: nothing can be received", "sqs:ReceiveMessage"),
        ("delete", "EP306", "failed", "denied: what is stored stays on the queue and comes back", "sqs:DeleteMessage"),
        ("change_visibility", "EP307", "warning", f"denied: {CHANGE_VISIBILITY.loss}", "sqs:ChangeMessageVisibility"),
    ],
)
def test_denied(fact: str, code: str, status: str, evidence: str, action: str) -> None:
    """What the service cannot work without fails, the rest warns; the fix is the statement to add."""
    known = queue(**{fact: DENIED})
    finding = found(code, known)
    assert f"{status}: {evidence}" == told(code, known)
    intro, statement = finding.fix.splitlines()
    assert "Add to the policy of the role archiver:" == intro
    assert {"Effect": "Allow", "Action": action, "Resource": QUEUE_ARN} == json.loads(statement)


def test_denied_attributes_leave_the_rest() -> None:
    """Without GetQueueAttributes the queue still shows that it exists; what is in its attributes is skipped."""
    known = queue(attributes=DENIED)
    assert f"ok: {QUEUE_ARN}" == told("EP303", known)
    for code in ("EP311", "EP312", "EP313", "EP314", "EP503"):
        assert "skipped: needs sqs:GetQueueAttributes" == told(code, known)


def test_everything_denied() -> None:
    """Where everything is denied, nobody can say whether the queue exists."""
    known = queue(attributes=DENIED, delete=DENIED, change_visibility=DENIED)
    assert "skipped: SQS does not say" == told("EP303", known)


def test_neither_allowed_nor_denied() -> None:
    """A question that was not answered is a failure of its own."""
    known = queue(delete=TIMEOUT)
    assert "failed: neither allowed nor denied" == told("EP306", known)
    assert (TIMEOUT.error, TIMEOUT.fix) == (found("EP306", known).error, found("EP306", known).fix)


@pytest.mark.parametrize(
    ("receive", "expected"),
    [
        (0, "ok: allowed (no message was waiting)"),
        (1, "ok: allowed (one message was received and given back at once, which counts as a receive)"),
        (NO_WRITE, "skipped: needs --write: only a receive can show it, and that counts against maxReceiveCount"),
        (Unasked("an empty queue"), "skipped: needs an empty queue"),
        (Failure(Cause.ENCRYPTION, "KMS.AccessDeniedException: No.", ""), "skipped: needs the queue's key"),
    ],
)
def test_receive(receive: int | Unasked | Failure, expected: str) -> None:
    """A receive that was made says what it did; one that was not says why."""
    assert expected == told("EP305", queue(receive=receive))


@pytest.mark.parametrize(
    ("changed", "code", "expected"),
    [
        ({}, "EP311", "ok: emails-dead (maxReceiveCount 5)"),
        ({"RedrivePolicy": ""}, "EP311", "warning: none: what cannot be handled comes back until it expires"),
        ({"RedrivePolicy": "nonsense"}, "EP311", "warning: none: what cannot be handled comes back until it expires"),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{QUEUE_ARN}-dead", "maxReceiveCount": "2"})},
            "EP311",
            "warning: maxReceiveCount 2 is low: a restart of pods moves good emails to emails-dead",
        ),
        ({}, "EP312", "ok: 14 days"),
        ({"MessageRetentionPeriod": "345600"}, "EP312", "ok: 4 days"),
        ({"MessageRetentionPeriod": "345599"}, "EP312", "warning: 3.99999 days: an outage of that length loses emails"),
        ({"MessageRetentionPeriod": "3600"}, "EP312", "warning: 1 h: an outage of that length loses emails"),
        ({"MessageRetentionPeriod": "60"}, "EP312", "warning: 60 s: an outage of that length loses emails"),
        ({"MessageRetentionPeriod": ""}, "EP312", "skipped: the queue does not say"),
        ({}, "EP313", "ok: SSE-SQS"),
        ({"KmsMasterKeyId": "alias/aws/sqs"}, "EP313", "ok: KMS, with alias/aws/sqs"),
        ({"SqsManagedSseEnabled": "false"}, "EP313", "warning: none at rest"),
        ({}, "EP314", "ok: up to 1024 KiB"),
        (
            {"MaximumMessageSize": "2097152"},
            "EP314",
            "warning: up to 2048 KiB, more than the 1024 KiB that memory is reckoned with",
        ),
        ({"MaximumMessageSize": "many"}, "EP314", "skipped: the queue does not say"),
    ],
)
def test_attributes(changed: dict[str, str], code: str, expected: str) -> None:
    """What an operator would wish to have known before is a warning."""
    assert expected == told(code, attributes(**changed))


@pytest.mark.parametrize(
    ("key_time", "is_dated", "expected"),
    [
        ("sent", True, "ok: messages tell the time that S3_KEY_TIME=sent asks for"),
        ("sent", False, "warning: a message does not tell the time that S3_KEY_TIME=sent asks for"),
        ("first_receive", False, "warning: a message does not tell the time that S3_KEY_TIME=first_receive asks for"),
        ("sent", Unasked("--write and a message that waits"), "skipped: needs --write and a message that waits"),
    ],
)
def test_message_times(key_time: str, is_dated: bool | Unasked, expected: str) -> None:
    """A queue server that does not tell the time in the key lets a redelivery have another one."""
    known = facts(settings=settings(s3_key_time=key_time), queue=queue(is_dated=is_dated).queue)
    assert expected == told("EP315", known)
    assert ("SentTimestamp" in found("EP315", known).fix) is expected.startswith("warning")


def test_fix_for_no_dead_letter_queue() -> None:
    """Both commands can be pasted: one makes the dead-letter queue, the other points at it."""
    known = attributes(RedrivePolicy="")
    point = (
        f"aws sqs set-queue-attributes --region us-east-1 --queue-url {QUEUE_URL} --attributes "
        """'{"RedrivePolicy": "{\\"deadLetterTargetArn\\":\\"arn:aws:sqs:us-east-1:123456789012:emails-dead\\","""
        """\\"maxReceiveCount\\":\\"5\\"}"}'"""
    )
    assert [
        "Give it one:",
        "aws sqs create-queue --region us-east-1 --queue-name emails-dead --attributes MessageRetentionPeriod=1209600",
        point,
    ] == found("EP311", known).fix.splitlines()


def test_dead_letter_queue_of_a_fifo_queue() -> None:
    """The dead-letter queue of a FIFO queue has to be one as well."""
    known = facts(
        settings=settings(sqs_queue_url=f"{QUEUE_URL}.fifo"),
        queue=queue(attributes={**ATTRIBUTES, "RedrivePolicy": ""}).queue,
    )
    fix = found("EP311", known).fix
    assert "--queue-name emails-dead.fifo --attributes MessageRetentionPeriod=1209600,FifoQueue=true" in fix
