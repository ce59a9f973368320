"""The check where AWS cannot be reached, or not be asked."""

import asyncio
from pathlib import Path

import pytest

from email_processor.aws.archive import PROBE
from email_processor.aws.connect import open_session
from email_processor.domain.errors import Cause
from email_processor.exit_codes import EXIT_SETTINGS
from email_processor.tools.check.check import check, exit_code
from email_processor.tools.check.codes import Group
from email_processor.tools.check.inspect.asking import WITHOUT_WRITE, Asker, Unasked, config
from email_processor.tools.check.inspect.queue import may_receive
from tests.integration.tools.check.aws import ACTIONS, MESSAGE, PROBE_KEYS, QUEUE_ARN, PermittedAws
from tests.integration.tools.check.looking import bad, error_of, look, look_briefly, told
from tests.support.aws_answers import CallFault, Reply, s3_error, sqs, sqs_error
from tests.support.emulators import REGION, free_port

EVERYTHING = (*ACTIONS, "unsigned GetQueueAttributes", "unsigned HeadBucket")


async def test_nobody_listens(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no connection is to be had, each service is one failure; STS is none."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    report = await look(write=True)
    assert {"EP301": "failed", "EP401": "failed"} == bad(report)
    assert "Could not connect" in error_of(report, "EP301")
    assert "skipped: needs an answer of SQS" == told(report, "EP305")
    assert "skipped: needs an answer of S3" == told(report, "EP408")
    assert "skipped: needs an answer of AWS" == told(report, "EP601")


async def test_one_service_is_unreachable(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is looked at all the same."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    report = await look()
    assert {"EP401": "failed"} == bad(report)
    assert "ok: allowed" == told(report, "EP306")


async def test_nobody_answers(permitted: PermittedAws) -> None:
    """Where connections are taken and nothing comes back, the questions end by themselves."""
    permitted.instead = dict.fromkeys(EVERYTHING, CallFault.HANG)
    found = await look_briefly()
    assert ["EP301", "EP401"] == [code for code, status in found.items() if status == "failed"]


async def test_answers_stop_coming(permitted: PermittedAws) -> None:
    """Where strangers are answered and we are not, each question says so."""
    permitted.instead = dict.fromkeys(ACTIONS, CallFault.HANG)
    found = await look_briefly(per_question=2)
    expected = {"EP301": "ok", "EP303": "skipped", "EP304": "failed", "EP306": "failed", "EP408": "failed"}
    assert expected == {code: found[code] for code in expected}


async def test_all_together_take_a_bounded_time(permitted: PermittedAws) -> None:
    """When the time for all is over, nothing more is waited for."""
    permitted.instead = dict.fromkeys(EVERYTHING, CallFault.HANG)
    found = await look_briefly(per_question=60, in_all=0.3)
    assert {"failed"} == {found["EP301"], found["EP401"]}


async def test_profile_that_does_not_exist(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS configuration that cannot be used is the one failure."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    report = await look()
    assert {"EP201": "failed"} == bad(report)
    assert "nobody" in error_of(report, "EP201")
    assert "skipped: needs a usable AWS configuration" == told(report, "EP301")


async def test_ca_bundle_that_does_not_exist(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA bundle that is not there is told by its path."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/ca.pem")
    report = await look()
    assert {"EP201": "failed"} == bad(report)
    assert "/nonexistent/ca.pem" in error_of(report, "EP201")


@pytest.mark.parametrize("service", ["SQS", "S3"])
async def test_endpoint_that_is_none(permitted: PermittedAws, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an endpoint that no client takes, the service does not start: that is told as it would tell it."""
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", "nonsense")
    report = await look()
    assert {"EP201": "failed"} == bad(report)
    assert "Invalid endpoint: nonsense" in error_of(report, "EP201")


async def test_endpoint_that_is_none_and_not_needed(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service asks neither STS nor KMS, so it can do without their endpoints."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    monkeypatch.setenv("S3_KMS_KEY_ID", "alias/mail")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "nonsense")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "nonsense")
    assert {} == bad(await look())


async def test_answers_that_are_not_s3s(permitted: PermittedAws) -> None:
    """A proxy's error page in place of an answer is told as it is; the service itself makes no listing."""
    permitted.instead["ListObjectsV2"] = Reply(502, b"<html>Bad gateway</html>")
    report = await look()
    assert {"EP407": "warning"} == bad(report)


STORE = [operation for operation, (action, _) in ACTIONS.items() if action.startswith("s3:")]


@pytest.mark.parametrize("write", [False, True])
async def test_a_store_that_is_down(permitted: PermittedAws, *, write: bool) -> None:
    """It answers, and so does the way there; nothing can be stored all the same."""
    down = Reply(503, b"<Error><Code>ServiceUnavailable</Code><Message>Down for the day</Message></Error>")
    permitted.instead = dict.fromkeys((*STORE, "unsigned HeadBucket"), down)
    report = await look(write=write)
    assert "failed" == bad(report)["EP401"]
    assert "Down for the day" in error_of(report, "EP401")


async def test_a_store_that_does_not_answer_strangers(permitted: PermittedAws) -> None:
    """A 500 for an unsigned request alone is a store's own manner."""
    permitted.instead["unsigned HeadBucket"] = Reply(500)
    assert {} == bad(await look())


async def test_a_gateway_that_answers_in_place_of_the_queue(permitted: PermittedAws) -> None:
    """A 200 that says nothing of a queue is no proof that there is one."""
    permitted.attributes = {}
    report = await look()
    assert "EP304" in bad(report)
    assert "ApproximateNumberOfMessages" in error_of(report, "EP304")


async def test_a_gateway_that_answers_everything(permitted: PermittedAws) -> None:
    """With a 200 and words of its own: nothing of the queue is found to exist or to be allowed by that."""
    permitted.instead = dict.fromkeys(EVERYTHING, Reply(200, b'{"status":"ok"}'))
    report = await look(write=True)
    assert {"EP304", "EP306", "EP307"} <= bad(report).keys()
    assert [] == [
        finding.code
        for finding in report.findings
        if finding.check.group is Group.QUEUE and told(report, finding.code).startswith("ok: ")
        if finding.code not in {"EP301", "EP302"}
    ]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"SentTimestamp": "1733841000000"}, "ok: "),
        ({"ApproximateFirstReceiveTimestamp": "1733841000000"}, "ok: "),
        ({}, "warning: "),
    ],
)
async def test_whether_a_queue_tells_its_times_is_seen_in_a_message(
    permitted: PermittedAws, attributes: dict[str, str], expected: str
) -> None:
    """One that waits, and is never hidden."""
    permitted.instead["ReceiveMessage"] = sqs({"Messages": [{**MESSAGE, "Attributes": attributes}]})
    assert told(await look(write=True), "EP315").startswith(expected)


@pytest.mark.parametrize("client", ["signed", "sdk"])
@pytest.mark.parametrize(
    ("answer", "is_about_headers"),
    [
        (s3_error("SomethingElse", 501), True),
        (Reply(501), True),
        (s3_error("InternalError", 500, message="request 501 failed"), False),
    ],
)
async def test_a_store_that_lacks_something_is_known_by_its_status(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch, client: str, answer: Reply, *, is_about_headers: bool
) -> None:
    """Not by its words."""
    monkeypatch.setenv("AWS_CLIENT", client)
    permitted.instead["PutObject"] = answer
    report = await look(write=True)
    (finding,) = (finding for finding in report.findings if finding.code == "EP408")
    assert is_about_headers == ("S3_CONDITIONAL_WRITES=false" in finding.fix)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "but not encrypted: S3_SSE=aws:kms was passed over"),
        ({"x-amz-server-side-encryption": "AES256"}, "but encrypted with AES256: S3_SSE=aws:kms was passed over"),
        ({"x-amz-server-side-encryption": "aws:kms"}, "encrypted with aws:kms; it stays there"),
    ],
)
async def test_how_an_object_is_encrypted_is_read_off_its_headers(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], expected: str
) -> None:
    """What was asked for in the PUT is not what came of it."""
    monkeypatch.setenv("S3_SSE", "aws:kms")
    permitted.instead["PutObject"] = Reply(headers={"ETag": '"0"'})
    permitted.instead["GetObject"] = Reply(200, PROBE, headers)
    assert told(await look(write=True), "EP408").endswith(expected)


async def test_bucket_in_another_region(permitted: PermittedAws) -> None:
    """A redirect to another region tells the region."""
    permitted.instead["unsigned HeadBucket"] = Reply(301, headers={"x-amz-bucket-region": "eu-west-1"})
    report = await look()
    assert "warning: eu-west-1, but AWS_REGION is us-east-1" == told(report, "EP404")


async def test_bucket_in_a_pseudo_region(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The region that requests are signed for is the bucket's."""
    monkeypatch.setenv("AWS_REGION", "fips-us-east-1")
    monkeypatch.setenv("SQS_REGION", "us-east-1")
    report = await look()
    assert "ok: us-east-1" == told(report, "EP404")


async def test_store_without_conditional_writes(permitted: PermittedAws) -> None:
    """A store that says it lacks them is told apart from one that is broken."""
    permitted.instead["PutObject"] = s3_error("NotImplemented", 501)
    report = await look(write=True)
    (finding,) = (finding for finding in report.findings if finding.code == "EP408")
    assert "If this store knows no conditional writes:\nS3_CONDITIONAL_WRITES=false" == finding.fix


async def test_store_that_ignores_conditions(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes the second PUT is found out."""
    permitted.instead["PutObject"] = Reply(headers={"ETag": '"0"'})
    permitted.objects = {f"/archive/{key}": b"{}" for key in PROBE_KEYS}
    report = await look(write=True)
    assert {"EP408": "failed", "EP409": "warning"} == bad(report)
    assert told(report, "EP408").endswith("holds something else")


async def test_wrong_settings(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not hang on the wrong setting is looked at."""
    monkeypatch.setenv("S3_BUCKET_NAME", "Not_A_Bucket")
    monkeypatch.setenv("HTTP_PORT", "many")
    report = await look(write=True)
    assert {"EP101": "failed"} == bad(report)
    assert "skipped: needs a valid S3_BUCKET_NAME" == told(report, "EP401")
    assert "ok: allowed" == told(report, "EP306")
    assert {} == permitted.objects


async def test_wrong_region(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region there is nowhere to ask."""
    monkeypatch.setenv("AWS_REGION", "over there")
    report = await look()
    assert {"EP101": "failed"} == bad(report)
    assert "skipped: needs a valid AWS_REGION" == told(report, "EP203")
    assert [] == permitted.operations


async def test_region_that_is_none_of_awss(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong setting, though only the opened clients know that it is AWS that is asked: told offline as well."""
    monkeypatch.setenv("AWS_REGION", "fr-par")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for report in (await look(), await check(write=False, offline=True)):
        assert {"EP105": "failed"} == bad(report)
        assert "AWS_REGION must be an AWS region; it is 'fr-par'." == error_of(report, "EP105")
        assert EXIT_SETTINGS == exit_code(report, strict=False)
    assert "skipped: needs regions of AWS" == told(await look(), "EP201")
    assert [] == permitted.operations


async def test_offline_a_region_is_not_judged_without_the_aws_configuration(
    permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AWS configuration that cannot be read belongs to the host: offline nothing is held against it."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    report = await check(write=False, offline=True)
    assert {} == bad(report)
    assert "skipped: needs a usable AWS configuration" == told(report, "EP105")


async def test_rule_between_queue_and_region(permitted: PermittedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue is not asked after in a region that its URL denies."""
    monkeypatch.setenv("SQS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/emails")
    monkeypatch.setenv("SQS_REGION", "us-east-1")
    report = await look()
    assert {"EP102": "failed"} == bad(report)
    assert "skipped: needs a valid SQS_REGION" == told(report, "EP303")
    assert "ok: archive" == told(report, "EP403")


async def test_offline(permitted: PermittedAws) -> None:
    """Offline, only the settings are looked at."""
    report = await check(write=True, offline=True)
    assert ["EP101", "EP102", "EP103", "EP104", "EP105"] == [finding.code for finding in report.findings]
    assert [] == permitted.operations


async def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    """A `.env` that is no file of text is a failure of the settings."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    report = await look()
    assert {"EP101": "failed"} == bad(report)
    assert report.settings_are_wrong


async def test_receive_at_aws_that_is_not_made(permitted: PermittedAws) -> None:
    """Request for more messages than it ever gives, AWS can deny a receive, and hands nothing out."""
    session, _ = open_session(REGION)
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/emails"
    ask = Asker()
    async with session.client("sqs", config=config()) as client:
        permitted.instead["ReceiveMessage"] = sqs_error("InvalidParameterValue", message="Value 11 for ...")
        allowed = await may_receive(ask, client, url, WITHOUT_WRITE)
        permitted.deny("ReceiveMessage")
        denied = await may_receive(ask, client, url, WITHOUT_WRITE)
    assert WITHOUT_WRITE == allowed
    assert not isinstance(denied, Unasked)
    assert Cause.DENIED is denied.cause


async def test_question_that_is_cancelled_is_not_answered() -> None:
    """Who stops the check is obeyed."""
    ask = Asker()
    task = asyncio.create_task(ask(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_error_of_ours_is_an_answer() -> None:
    """A fault in the check itself is told, not thrown at the reader."""

    async def broken() -> None:
        raise KeyError(QUEUE_ARN)

    answer = await Asker()(broken())
    assert answer is not None
    assert "KeyError" in answer.error
