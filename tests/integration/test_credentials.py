"""Credentials: from where every AWS SDK looks, for both halves, for as long as they last."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from email_processor.aws import credentials
from email_processor.aws.connect import Aws
from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause, QueueFaultError, ServiceFaultError, StoreFaultError
from tests.integration.opening import opened
from tests.support.aws_answers import (
    Act,
    CallFault,
    Reply,
    Request,
    Rule,
    act,
    an_aws,
    s3_error,
    sqs_error,
)
from tests.support.payloads import fetched
from tests.support.scripted_server import FakeAws
from tests.support.waiting import eventually

KEY = "emails/k.json"
SOON = timedelta(seconds=30)


@pytest.fixture
def home(fake: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an empty AWS configuration; everything goes to the fake, STS included; no pause after a look."""
    monkeypatch.setattr(credentials, "AGAIN_SECONDS", 0.0)
    fake.rule = an_aws
    (tmp_path / "config").write_text("")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def access_key(asked: Request) -> str:
    """The access key that a request was signed with."""
    return asked.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


async def signers(aws: Aws, fake: FakeAws) -> list[str]:
    """The access keys of a receive, a PUT and a GET, made now."""
    fake.requests.clear()
    await aws.inbox.receive(1, 0)
    await aws.archive.put(KEY, b"{}")
    await fetched(aws.payloads, Pointer("archive", KEY))
    return [access_key(asked) for asked in fake.requests if "authorization" in asked.headers]


async def faults(aws: Aws) -> list[ServiceFaultError]:
    """What a receive, a PUT and a GET raise."""
    with pytest.raises(QueueFaultError) as of_receive:
        await aws.inbox.receive(1, 0)
    with pytest.raises(StoreFaultError) as of_put:
        await aws.archive.put(KEY, b"{}")
    with pytest.raises(StoreFaultError) as of_get:
        await fetched(aws.payloads, Pointer("archive", KEY))
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


async def test_credentials_that_appear_are_used(home: Path, fake: FakeAws, client: str) -> None:
    """None at the start is not none for ever: the shared file is looked at again."""
    async with opened(client=client, timeout=10) as aws:
        told = await faults(aws)
        (home / "credentials").write_text("[default]\naws_access_key_id = LATE\naws_secret_access_key = s\n")
        assert ["LATE"] * 3 == await signers(aws, fake)
    assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in told]
    assert all("AWS_ACCESS_KEY_ID" in fault.fix for fault in told)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
async def test_a_line_break_in_a_key_is_a_matter_of_credentials(
    client: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends the request: as a secret that was made with `echo` has it. It is never shown."""
    for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(each, "hunter2\n" if each == name else "good")
    async with opened(client=client, timeout=10) as aws:
        told = await faults(aws)
    assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in told]
    assert all("a line break" in fault.detail and "hunter2" not in fault.detail for fault in told)


async def test_a_profile_is_used(home: Path, fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE chooses among those of the file."""
    monkeypatch.setenv("AWS_PROFILE", "other")
    (home / "credentials").write_text(
        "[default]\naws_access_key_id = ONE\naws_secret_access_key = s\n"
        "[other]\naws_access_key_id = OTHER\naws_secret_access_key = s\n"
    )
    async with opened(client=client, timeout=10) as aws:
        assert ["OTHER"] * 3 == await signers(aws, fake)


async def test_credentials_that_rotate_are_followed_by_both_halves(home: Path, fake: FakeAws, client: str) -> None:
    """Near the end of their life they are fetched anew, and nothing is ever signed with what is over."""
    output = home / "output"
    use_process(home, f"/bin/cat {output}")
    async with opened(client=client, timeout=10) as aws:
        for name in ("FIRST", "SECOND", "THIRD"):
            output.write_text(process_output(name, datetime.now(UTC) + SOON))
            async with asyncio.timeout(5):
                while await signers(aws, fake) != [name] * 3:
                    pass
    assert {"token of THIRD"} == {asked.headers["x-amz-security-token"] for asked in fake.requests}


async def test_many_puts_at_once_survive_a_rotation(home: Path, fake: FakeAws, client: str) -> None:
    """Uploads that start while credentials are being fetched wait for them, and none fails."""
    output = home / "output"
    output.write_text(process_output("ROTATING", datetime.now(UTC) + SOON))
    use_process(home, f"/bin/cat {output}")
    async with opened(client=client, timeout=10) as aws, asyncio.TaskGroup() as puts:
        for number in range(100):
            puts.create_task(aws.archive.put(f"emails/{number}.json", b"{}"))
    assert 100 == len(fake.requests)


BROKEN = {
    "fails": "/bin/sh -c 'exit 3'",
    "prints no JSON": "/bin/echo nothing",
    "is not there": "/nonexistent/credentials",
    "speaks another version": """/bin/echo '{"Version":9}'""",
    "leaves out the key": """/bin/echo '{"Version":1}'""",
    "prints what is over": f"/bin/echo '{process_output('OLD', datetime(2020, 1, 1, tzinfo=UTC))}'",
}


@pytest.mark.parametrize("command", BROKEN.values(), ids=BROKEN)
async def test_a_credential_process_that_is_broken_is_told(
    home: Path, client: str, fake: FakeAws, command: str
) -> None:
    """By every call, as a matter of credentials, with a fix; and it is asked again until it works."""
    use_process(home, command)
    async with opened(client=client, timeout=10) as aws:
        told = await faults(aws)
    assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in told]
    assert all("valid credentials" in fault.fix for fault in told)
    assert [] == fake.requests


async def test_a_credential_process_that_is_mended_is_used(home: Path, fake: FakeAws, client: str) -> None:
    """Without a restart."""
    output = home / "output"
    use_process(home, f"/bin/cat {output}")
    async with opened(client=client, timeout=10) as aws:
        assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in await faults(aws)]
        output.write_text(process_output("MENDED", datetime.now(UTC) + SOON))
        assert ["MENDED"] * 3 == await signers(aws, fake)


IDENTITY = (
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
    "<AccessKeyId>{}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>{}</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>"
    "<AssumedRoleId>r:s</AssumedRoleId></AssumedRoleUser></AssumeRoleWithWebIdentityResult>"
    "</AssumeRoleWithWebIdentityResponse>"
)


@pytest.fixture
def sts(home: Path, fake: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Callable[[Rule], None]:
    """Web identity as on EKS: the value sets what STS answers."""
    (home / "token").write_text("a-token-of-the-cluster")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/email-processor")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))

    def answer(script: Rule) -> None:
        def dispatch(request: Request) -> Act:
            return act(script, request) if b"AssumeRoleWithWebIdentity" in request.body else an_aws(request)

        fake.rule = dispatch

    answer(Reply(200, role("ROLE")))
    return answer


def role(name: str) -> bytes:
    """What STS gives for the token of a service account."""
    return IDENTITY.format(name, (datetime.now(UTC) + timedelta(hours=1)).isoformat()).encode()


async def test_a_web_identity_is_used_by_both_halves(
    sts: Callable[[Rule], None], home: Path, fake: FakeAws, client: str
) -> None:
    """The role of the service account signs every request."""
    async with opened(client=client, timeout=10) as aws:
        assert ["ROLE"] * 3 == await signers(aws, fake)


STS_ANSWERS: dict[str, tuple[Rule, Cause]] = {
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
    "STS is gone": (CallFault.CUT, Cause.NETWORK),
}


@pytest.mark.parametrize(("answer", "cause"), STS_ANSWERS.values(), ids=STS_ANSWERS)
async def test_a_role_that_is_not_given_has_a_cause(
    sts: Callable[[Rule], None], client: str, monkeypatch: pytest.MonkeyPatch, answer: Rule, cause: Cause
) -> None:
    """A refusal by STS is a matter of credentials; an STS in trouble passes by itself."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # of the SDK's own calls to STS
    sts(answer)
    async with opened(client=client, timeout=10) as aws:
        assert [fault.cause for fault in await faults(aws)] == [cause] * 3


async def test_a_token_file_that_is_not_there_is_a_matter_of_credentials(
    sts: Callable[[Rule], None], home: Path, client: str
) -> None:
    """The projected volume is missing, or not yet there."""
    (home / "token").unlink()
    async with opened(client=client, timeout=10) as aws:
        assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in await faults(aws)]


async def test_container_credentials_are_used(
    home: Path, fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EKS pod identity and ECS give them over HTTP."""
    given = {
        "AccessKeyId": "POD",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    def dispatch(asked: Request) -> Reply:
        return Reply(200, json.dumps(given).encode()) if asked.path == "/v1/credentials" else an_aws(asked)

    fake.rule = dispatch
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{fake.url}/v1/credentials")
    async with opened(client=client, timeout=10) as aws:
        assert ["POD"] * 3 == await signers(aws, fake)


REFUSALS = {  # in the words of each service
    "SQS": (Cause.CREDENTIALS, sqs_error("InvalidClientTokenId", 403)),
    "S3": (Cause.CREDENTIALS, s3_error("InvalidAccessKeyId", 403)),
}


def rewrite(home: Path, key: str) -> None:
    """Write the shared file of credentials anew."""
    (home / "credentials").write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")


@pytest.mark.parametrize("service", REFUSALS)
async def test_keys_that_are_refused_are_looked_for_again(home: Path, fake: FakeAws, client: str, service: str) -> None:
    """A shared file that was rewritten is read again when its old keys are refused, whoever refuses them to whom."""
    rewrite(home, "OLD")
    cause, refusal = REFUSALS[service]

    def dispatch(asked: Request) -> Reply:
        is_refused = access_key(asked) == "OLD" and service == ("SQS" if "x-amz-target" in asked.headers else "S3")
        return refusal if is_refused else an_aws(asked)

    async with opened(client=client, timeout=10) as aws:
        assert ["OLD"] * 3 == await signers(aws, fake)
        rewrite(home, "NEW")
        assert ["OLD"] * 3 == await signers(aws, fake)  # which have no end of their own
        fake.rule = dispatch
        with pytest.raises(ServiceFaultError) as caught:
            await signers(aws, fake)
        assert ["NEW"] * 3 == await signers(aws, fake)
    assert caught.value.cause is cause


async def test_every_word_for_keys_that_are_not_taken_lets_it_look_again(
    home: Path, fake: FakeAws, client: str
) -> None:
    """SQS, S3, STS and their kin have seven."""
    words = (
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "UnrecognizedClient",
        "UnrecognizedClientException",
    )
    rewrite(home, "KEY0")
    async with opened(client=client, timeout=10) as aws:
        assert ["KEY0"] * 3 == await signers(aws, fake)
        for number, word in enumerate(words):
            rewrite(home, f"KEY{number + 1}")
            fake.rule = s3_error(word, 403)
            with pytest.raises(StoreFaultError, match=word):
                await aws.archive.put(KEY, b"{}")
            fake.rule = an_aws
            assert [f"KEY{number + 1}"] * 3 == await signers(aws, fake)


async def test_keys_that_are_refused_before_their_end_are_looked_for_again(
    sts: Callable[[Rule], None], fake: FakeAws, client: str
) -> None:
    """A role's session that was revoked: STS is asked anew, though its last answer was to be good for an hour."""
    given = [f"ROLE{number}" for number in range(10)]
    sts(lambda _: Reply(200, role(given.pop(0))))
    async with opened(client=client, timeout=10) as aws:
        assert ["ROLE0"] * 3 == await signers(aws, fake)
        an_sts = fake.rule
        fake.rule = lambda asked: s3_error("ExpiredToken", 400) if access_key(asked) == "ROLE0" else act(an_sts, asked)
        with pytest.raises(StoreFaultError):
            await aws.archive.put(KEY, b"{}")
        assert ["ROLE1"] * 3 == await signers(aws, fake)
        assert ["ROLE1"] * 3 == await signers(aws, fake)


async def test_a_credential_process_that_hangs_is_one_and_is_ended(home: Path, client: str) -> None:
    """All callers wait for one child, are told that it is credentials that they lack, and none is left at the end."""
    children = home / "children"
    use_process(home, f"/bin/sh -c 'echo $$ >> {children}; sleep 1000 & wait'")
    async with opened(client=client, timeout=0.4) as aws:
        told = [fault for each in await asyncio.gather(*[faults(aws) for _ in range(5)]) for fault in each]
        first = pids(children)
        assert [Cause.CREDENTIALS] * 15 == [fault.cause for fault in told]
        assert 1 == len(first)
        assert is_running(first[0])
    assert not is_running(first[0])


async def test_a_credential_process_has_a_limit_of_its_own(
    home: Path, fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After which it is killed, with what it has started itself, and asked again: a minute, but for this test."""
    assert 60 == credentials.LOOK_SECONDS
    monkeypatch.setattr(credentials, "LOOK_SECONDS", 1.0)
    children = home / "children"
    use_process(home, f"/bin/sh -c 'echo $$ >> {children}; sleep 1000 & echo $! >> {children}; wait'")
    async with opened(client=client, timeout=20) as aws:
        told = await faults(aws)
    assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in told]
    assert "no answer within 1 s" in told[0].detail
    assert 6 == len(pids(children))
    eventually(lambda: not any(map(is_running, pids(children))), "the end of what was killed")


async def test_what_a_credential_process_leaves_behind_is_ended(
    home: Path, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has ended itself, but what it has started holds its output open: there is no answer, and none is left."""
    monkeypatch.setattr(credentials, "LOOK_SECONDS", 1.0)
    children = home / "children"
    use_process(home, f"/bin/sh -c 'sleep 1000 & echo $! >> {children}'")
    async with opened(client=client, timeout=20) as aws:
        told = await faults(aws)
    assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in told]
    assert 3 == len(pids(children))
    eventually(lambda: not any(map(is_running, pids(children))), "the end of what was killed")


def pids(file: Path) -> list[int]:
    """The processes that have written their numbers into `file`."""
    return [int(line) for line in file.read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has asked for its exit code has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


SSO = {
    "without a session": "[default]\nsso_start_url = https://x.test/start\nsso_region = us-east-1\n"
    "sso_account_id = 123456789012\nsso_role_name = r\n",
    "with a session": "[default]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
    "[sso-session s]\nsso_start_url = https://x.test/start\nsso_region = us-east-1\n",
}


@pytest.mark.parametrize("is_cached", [True, False], ids=["expired", "not there"])
@pytest.mark.parametrize("config", SSO.values(), ids=SSO)
async def test_a_session_of_sso_that_has_ended_is_told(
    home: Path, client: str, config: str, monkeypatch: pytest.MonkeyPatch, *, is_cached: bool
) -> None:
    """As a matter of credentials, with the command that begins a new one."""
    (home / "config").write_text(config)
    for owner in ("botocore.credentials.SSOProvider", "botocore.tokens.SSOTokenProvider"):
        monkeypatch.setattr(f"{owner}._SSO_TOKEN_CACHE_DIR", str(home))
    if is_cached:
        for name in ("https://x.test/start", "s"):
            file = home / f"{hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()}.json"
            file.write_text('{"accessToken": "over", "expiresAt": "2020-01-01T00:00:00Z"}')
    async with opened(client=client, timeout=10) as aws:
        told = await faults(aws)
    assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in told]
    assert all("aws sso login" in fault.fix for fault in told)


async def test_a_token_that_cannot_be_one_is_a_matter_of_credentials(
    sts: Callable[[Rule], None], home: Path, client: str
) -> None:
    """An empty file, or one that is just being written: the SDK does not even ask STS."""
    (home / "token").write_text("x")
    async with opened(client=client, timeout=10) as aws:
        assert [Cause.CREDENTIALS] * 3 == [fault.cause for fault in await faults(aws)]
