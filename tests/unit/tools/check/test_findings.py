"""What the fixes say."""

import json

from email_processor.domain.errors import Cause
from email_processor.tools.check.findings import allow, queue_arn
from email_processor.tools.check.inspect.asking import Failure
from email_processor.tools.check.inspect.sts_and_kms import Identity
from tests.unit.tools.check.known import ACCOUNT, IDENTITY, KEY_ARN, QUEUE_ARN, QUEUE_URL


def denial(words: str) -> Failure:
    """A denial in these words."""
    return Failure(Cause.DENIED, f"AccessDenied: {words}", "")


def test_another_action_is_meant() -> None:
    """Where AWS names another action than the one tried, that one is what has to be allowed, on what AWS names."""
    words = f"User: {IDENTITY.arn} is not authorized to perform: kms:Decrypt on resource: {KEY_ARN} because no policy"
    fix = allow("s3:GetObject", "arn:aws:s3:::archive/*", denial(words), None)
    assert "Add to the policy of the role archiver:" == fix.splitlines()[0]
    assert {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY_ARN} == json.loads(fix.splitlines()[1])


def test_spelling_of_sqs() -> None:
    """SQS writes the action in lower case; the statement has it as the documentation writes it."""
    words = f"User: x is not authorized to perform: sqs:deletemessage on resource: {QUEUE_ARN}"
    assert '"Action": "sqs:DeleteMessage"' in allow("sqs:DeleteMessage", QUEUE_ARN, denial(words), IDENTITY)


def test_explicit_deny() -> None:
    """Against an explicit deny no statement helps."""
    words = "User: x is not authorized to perform: s3:PutObject on resource: y with an explicit deny in a policy"
    fix = allow("s3:PutObject", "y", denial(words), IDENTITY)
    assert (
        "A policy denies s3:PutObject, and no Allow outweighs that: take the Deny out of the policy that is named."
        == fix
    )


def test_another_account() -> None:
    """What lies in another account has to allow it itself, too."""
    foreign = Identity("999999999999", "arn:aws:sts::999999999999:assumed-role/archiver/pod-1")
    fix = allow("sqs:DeleteMessage", QUEUE_ARN, denial("No."), foreign)
    assert f"It is in account {ACCOUNT}, so its own policy has to allow {foreign.arn} as well." == fix.splitlines()[2]


def test_who_is_not_a_role() -> None:
    """A user is named in full, and nobody is just a role."""
    user = Identity(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/jo")
    assert f"Add to the policy of {user.arn}:" == allow("a:B", QUEUE_ARN, denial("No."), user).splitlines()[0]
    assert "Add to the policy of the role:" == allow("a:B", QUEUE_ARN, denial("No."), None).splitlines()[0]


def test_arn_of_a_queue() -> None:
    """The queue's ARN follows from its URL, however many segments come first."""
    assert QUEUE_ARN == queue_arn(QUEUE_URL, "us-east-1")
    assert QUEUE_ARN == queue_arn(f"http://localhost:4566/queue/us-east-1/{ACCOUNT}/emails", "us-east-1")


def test_arn_in_a_region_that_only_another_server_knows() -> None:
    """What is not AWS's has the ARNs that its servers make."""
    assert f"arn:aws:sqs:garage:{ACCOUNT}:emails" == queue_arn(f"http://localhost:3900/{ACCOUNT}/emails", "garage")
