"""Credentials: from where every AWS SDK looks, for both halves, for as long as they last."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from email_processor.aws.connect import Aws
from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause, QueueFaultError, ServiceFaultError, StoreFaultError
from tests.integration.opening import opened
from tests.support.scripted_server import STORED, Asked, Fake, Fault, Reply, Script, sqs

KEY = "emails/k.json"
SOON = timedelta(seconds=30)


@pytest.fixture
def home(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an empty AWS configuration; everything goes to the fake, STS included."""
    fake.script = an_aws
    (tmp_path / "config").write_text("")
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def an_aws(asked: Asked) -> Reply:
    """Answer as SQS, or as S3."""
    return sqs({}) if "x-amz-target" in asked.headers else STORED


def access_key(asked: Asked) -> str:
    """The access key that a request was signed with."""
    return asked.headers["authorization"].partition("Credential=")[2].partition("/")[0]


async def signers(aws: Aws, fake: Fake) -> list[str]:
    """The access keys of a receive, a PUT and a GET, made now."""
    fake.asked.clear()
    await aws.inbox.receive(1, 0)
    await aws.archive.put(KEY, b"{}")
    await aws.payloads.fetch(Pointer("archive", KEY))
    return [access_key(asked) for asked in fake.asked if "authorization" in asked.headers]


async def faults(aws: Aws) -> list[ServiceFaultError]:
    """What a receive, a PUT and a GET raise."""
    with pytest.raises(QueueFaultError) as of_receive:
        await aws.inbox.receive(1, 0)
    with pytest.raises(StoreFaultError) as of_put:
        await aws.archive.put(KEY, b"{}")
    with pytest.raises(StoreFaultError) as of_get:
        await aws.payloads.fetch(Pointer("archive", KEY))
    return [of_receive.value, of_put.value, of_get.value]


def process_output(name: str, expires: datetime) -> str:
    """What a credential process prints."""
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": name,
            "SecretAccessKey": "s",
            "SessionToken": f"token of {name}",
            "Expiration": expires.isoformat(),
        }
    )


def use_process(home: Path, command: str) -> None:
    """Configure a credential process."""
    (home / "config").write_text(f"[default]\ncredential_process = {command}\n")


async def test_credentials_that_appear_are_used(home: Path, fake: Fake, client: str) -> None:
    """None at the start is not none for ever: the shared file is looked at again."""
    async with opened(client=client) as aws:
        told = await faults(aws)
        (home / "credentials").write_text("[default]\naws_access_key_id = LATE\naws_secret_access_key = s\n")
        assert await signers(aws, fake) == ["LATE"] * 3
    assert [fault.cause for fault in told] == [Cause.CREDENTIALS] * 3
    assert all("AWS_ACCESS_KEY_ID" in fault.fix for fault in told)


async def test_a_profile_is_used(home: Path, fake: Fake, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE chooses among those of the file."""
    monkeypatch.setenv("AWS_PROFILE", "other")
    (home / "credentials").write_text(
        "[default]\naws_access_key_id = ONE\naws_secret_access_key = s\n"
        "[other]\naws_access_key_id = OTHER\naws_secret_access_key = s\n"
    )
    async with opened(client=client) as aws:
        assert await signers(aws, fake) == ["OTHER"] * 3


async def test_credentials_that_rotate_are_followed_by_both_halves(home: Path, fake: Fake, client: str) -> None:
    """Near the end of their life they are fetched anew, and nothing is ever signed with what is over."""
    output = home / "output"
    use_process(home, f"/bin/cat {output}")
    async with opened(client=client) as aws:
        for name in ("FIRST", "SECOND", "THIRD"):
            output.write_text(process_output(name, datetime.now(UTC) + SOON))
            async with asyncio.timeout(5):
                while await signers(aws, fake) != [name] * 3:
                    pass
    assert {asked.headers["x-amz-security-token"] for asked in fake.asked} == {"token of THIRD"}


async def test_many_puts_at_once_survive_a_rotation(home: Path, fake: Fake, client: str) -> None:
    """Uploads that start while credentials are being fetched wait for them, and none fails."""
    output = home / "output"
    output.write_text(process_output("ROTATING", datetime.now(UTC) + SOON))
    use_process(home, f"/bin/cat {output}")
    async with opened(client=client, timeout=10) as aws, asyncio.TaskGroup() as puts:
        for number in range(100):
            puts.create_task(aws.archive.put(f"emails/{number}.json", b"{}"))
    assert len(fake.asked) == 100


BROKEN = {
    "fails": "/bin/sh -c 'exit 3'",
    "prints no JSON": "/bin/echo nothing",
    "is not there": "/nonexistent/credentials",
    "speaks another version": """/bin/echo '{"Version":9}'""",
    "leaves out the key": """/bin/echo '{"Version":1}'""",
    "prints what is over": f"/bin/echo '{process_output('OLD', datetime(2020, 1, 1, tzinfo=UTC))}'",
}


@pytest.mark.parametrize("command", BROKEN.values(), ids=BROKEN)
async def test_a_credential_process_that_is_broken_is_told(home: Path, client: str, fake: Fake, command: str) -> None:
    """By every call, as a matter of credentials, with a fix; and it is asked again until it works."""
    use_process(home, command)
    async with opened(client=client) as aws:
        told = await faults(aws)
    assert [fault.cause for fault in told] == [Cause.CREDENTIALS] * 3
    assert all("valid credentials" in fault.fix for fault in told)
    assert fake.asked == []


async def test_a_credential_process_that_is_mended_is_used(home: Path, fake: Fake, client: str) -> None:
    """Without a restart."""
    output = home / "output"
    use_process(home, f"/bin/cat {output}")
    async with opened(client=client) as aws:
        assert [fault.cause for fault in await faults(aws)] == [Cause.CREDENTIALS] * 3
        output.write_text(process_output("MENDED", datetime.now(UTC) + SOON))
        assert await signers(aws, fake) == ["MENDED"] * 3


IDENTITY = (
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
    "<AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>{}</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>"
    "<AssumedRoleId>r:s</AssumedRoleId></AssumedRoleUser></AssumeRoleWithWebIdentityResult>"
    "</AssumeRoleWithWebIdentityResponse>"
)


@pytest.fixture
def sts(home: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Web identity as on EKS: the value sets what STS answers."""
    (home / "token").write_text("a-token-of-the-cluster")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/email-processor")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))

    def answer(script: Script) -> None:
        def dispatch(asked: Asked) -> Reply | Fault:
            if b"AssumeRoleWithWebIdentity" not in asked.body:
                return an_aws(asked)
            return script(asked) if callable(script) else script

        fake.script = dispatch

    answer(Reply(200, IDENTITY.format((datetime.now(UTC) + timedelta(hours=1)).isoformat()).encode()))
    return answer


async def test_a_web_identity_is_used_by_both_halves(
    sts: Callable[[Script], None], home: Path, fake: Fake, client: str
) -> None:
    """The role of the service account signs every request."""
    async with opened(client=client) as aws:
        assert await signers(aws, fake) == ["ROLE"] * 3


STS_ANSWERS: dict[str, tuple[Script, Cause]] = {
    "denied": (
        Reply(403, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"),
        Cause.CREDENTIALS,
    ),
    "the token is over": (
        Reply(
            400, b"<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>m</Message></Error></ErrorResponse>"
        ),
        Cause.CREDENTIALS,
    ),
    "the token is not known": (
        Reply(
            400, b"<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>m</Message></Error></ErrorResponse>"
        ),
        Cause.CREDENTIALS,
    ),
    "STS is down": (Reply(503), Cause.SERVER),
    "STS is gone": (Fault.CLOSE, Cause.NETWORK),
}


@pytest.mark.parametrize(("answer", "cause"), STS_ANSWERS.values(), ids=STS_ANSWERS)
async def test_a_role_that_is_not_given_has_a_cause(
    sts: Callable[[Script], None], client: str, monkeypatch: pytest.MonkeyPatch, answer: Script, cause: Cause
) -> None:
    """A refusal by STS is a matter of credentials; an STS in trouble passes by itself."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # of the SDK's own calls to STS
    sts(answer)
    async with opened(client=client) as aws:
        assert [fault.cause for fault in await faults(aws)] == [cause] * 3


async def test_a_token_file_that_is_not_there_is_a_matter_of_credentials(
    sts: Callable[[Script], None], home: Path, client: str
) -> None:
    """The projected volume is missing, or not yet there."""
    (home / "token").unlink()
    async with opened(client=client) as aws:
        assert [fault.cause for fault in await faults(aws)] == [Cause.CREDENTIALS] * 3


async def test_container_credentials_are_used(
    home: Path, fake: Fake, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EKS pod identity and ECS give them over HTTP."""
    given = {
        "AccessKeyId": "POD",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    def dispatch(asked: Asked) -> Reply:
        return Reply(200, json.dumps(given).encode()) if asked.path == "/v1/credentials" else an_aws(asked)

    fake.script = dispatch
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{fake.url}/v1/credentials")
    async with opened(client=client) as aws:
        assert await signers(aws, fake) == ["POD"] * 3
