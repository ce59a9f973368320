"""TLS: whoever does not prove to be the host that was asked for gets no request, whatever the way to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from email_processor.aws.connect import Aws
from email_processor.domain.email import Pointer
from email_processor.domain.errors import Cause, QueueFaultError, ServiceFaultError
from tests.integration.opening import opened, point_at
from tests.support.aws_answers import an_aws
from tests.support.certificates import FLAWED, Authority, new_authority
from tests.support.payloads import fetched
from tests.support.scripted_server import FakeAws, scripted_server
from tests.support.tunnel import Tunnel, tunnelling

KEY = "emails/k.json"

CALLS: dict[str, Callable[[Aws], Awaitable[object]]] = {
    "ReceiveMessage": lambda aws: aws.inbox.receive(1, 0),
    "PutObject": lambda aws: aws.archive.put(KEY, b"{}"),
    "GetObject": lambda aws: fetched(aws.payloads, Pointer("archive", KEY)),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody knows."""
    return new_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=["directly", "through a proxy"])
async def tunnel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tunnel | None]:
    """The way to AWS."""
    async with AsyncExitStack() as stack:
        tunnel = None
        if request.param != "directly":
            tunnel = await stack.enter_async_context(tunnelling())
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        yield tunnel


@pytest.fixture
async def tls(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeAws]:
    """AWS behind a certificate of that authority."""
    async with scripted_server(authority.server, host="localhost") as server:
        server.rule = an_aws
        point_at(server.url, monkeypatch)
        yield server


async def faults_of_all(aws: Aws) -> list[ServiceFaultError]:
    """The fault of each call; every one must have one."""
    faults = []
    for call in CALLS.values():
        with pytest.raises(ServiceFaultError) as caught:
            await call(aws)
        faults.append(caught.value)
    return faults


async def test_an_authority_that_nobody_knows_is_not_trusted(tls: FakeAws, client: str) -> None:
    """Nothing is sent; the fault says which variable helps."""
    async with opened(client=client) as aws:
        faults = await faults_of_all(aws)
    assert [Cause.CONFIGURATION] * 3 == [fault.cause for fault in faults]
    assert all("AWS_CA_BUNDLE" in fault.fix for fault in faults)
    assert [] == tls.requests


@pytest.mark.parametrize("where", ["variable", "config file"])
async def test_an_authority_of_ones_own_is_trusted_by_both_halves(
    tls: FakeAws,
    authority: Authority,
    client: str,
    tunnel: Tunnel | None,
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AWS_CA_BUNDLE, or `ca_bundle` in the config file, is enough for the SDK, the PUT and our own calls."""
    if where == "variable":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.pem))
    else:
        file = tmp_path / "config"
        file.write_text(f"[default]\nca_bundle = {authority.pem}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    async with opened(client=client) as aws:
        for call in CALLS.values():
            await call(aws)
    assert 3 == len(tls.requests)
    assert tunnel is None or set(tunnel.targets) == {tls.url.removeprefix("https://")}


async def test_authorities_that_are_renewed_are_read_again(
    authority: Authority, client: str, tunnel: Tunnel | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's new certificate is by an authority that the file has got since: no call fails of it."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.pem.read_bytes())
    (tmp_path / "next").mkdir()
    successor = new_authority(tmp_path / "next")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    async with scripted_server(authority.server, host="localhost") as before:
        before.rule = an_aws
        point_at(before.url, monkeypatch)
        port = int(before.url.rpartition(":")[2])
        opening = opened(client=client, timeout=5)
        aws = await opening.__aenter__()
        for call in CALLS.values():
            await call(aws)
    try:
        async with scripted_server(successor.server, host="localhost", port=port) as after:
            after.rule = an_aws
            told = await faults_of_all(aws)
            assert [Cause.CONFIGURATION] * 3 == [fault.cause for fault in told]
            bundle.write_text("half a certificate")
            await faults_of_all(aws)
            bundle.write_bytes(successor.pem.read_bytes())
            for call in CALLS.values():
                await call(aws)
            assert len(after.requests) == len(CALLS)
            assert tunnel is None or len(tunnel.targets) > 3
    finally:
        await opening.__aexit__(None, None, None)


@pytest.mark.parametrize("flaw", FLAWED)
async def test_a_flawed_certificate_gets_no_request(
    authority: Authority, client: str, tunnel: Tunnel | None, flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another host, out of date or by somebody else: nothing is sent, and the fault names the certificate."""
    async with scripted_server(FLAWED[flaw](authority), host="localhost") as server:
        point_at(server.url, monkeypatch)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.pem))
        async with opened(client=client) as aws:
            faults = await faults_of_all(aws)
        assert [Cause.CONFIGURATION] * 3 == [fault.cause for fault in faults]
        assert all("certificate" in fault.detail for fault in faults)
        assert [] == server.requests


async def test_the_token_of_a_service_account_is_not_given_to_another_host(
    tls: FakeAws,
    authority: Authority,
    client: str,
    tunnel: Tunnel | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks STS for a role sends a secret, so STS has to prove itself as well."""
    token = tmp_path / "token"
    token.write_text("a-token-of-the-cluster")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.pem))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/email-processor")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    async with scripted_server(FLAWED["of another host"](authority), host="localhost") as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # of the SDK's own calls to STS
        async with opened(client=client, timeout=10) as aws:
            with pytest.raises(QueueFaultError) as caught:
                await aws.inbox.receive(1, 0)
        assert "certificate" in caught.value.detail
        assert [] == sts.requests
