"""Where requests go and how: the AWS SDK decides, and both halves go the same way."""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from email_processor.aws.connect import Aws, usable_configuration
from email_processor.domain.email import Pointer
from email_processor.domain.errors import (
    Cause,
    EmailProcessorError,
    QueueFaultError,
    SettingsError,
    StartError,
    StoreFaultError,
)
from tests.integration.opening import opened, point_at
from tests.support.aws_answers import Reply, an_aws
from tests.support.payloads import fetched
from tests.support.scripted_server import FakeAws, scripted_server

KEY = "emails/k.json"
VPC = "vpce-0a1b2c3d4e5f-abcdefgh.sqs.eu-west-1.vpce.amazonaws.com"
VPC_OF_EUSC = "vpce-0a1b2c3d4e5f-abcdefgh.sqs.eusc-de-east-1.vpce.amazonaws.eu"


@pytest.fixture
async def proxy(fake: FakeAws, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """The fake as the proxy that everything must go through: so it sees where to, and nothing leaves this host."""
    fake.rule = Reply(403)
    point_at("", monkeypatch)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("HTTP_PROXY", fake.url)
    monkeypatch.setenv("HTTPS_PROXY", fake.url)
    return fake


async def target_of_put(aws: Aws, proxy: FakeAws) -> str:
    """Where a PUT goes."""
    with suppress(EmailProcessorError):
        await aws.archive.put(KEY, b"{}")
    return proxy.requests[-1].target


async def target_of_get(aws: Aws, proxy: FakeAws, bucket: str) -> str:
    """Where the SDK's own GET of the same key goes."""
    with suppress(EmailProcessorError):
        await fetched(aws.payloads, Pointer(bucket, KEY))
    return proxy.requests[-1].target


@dataclass(frozen=True)
class Way:
    """The address that requests go to, and what an AWS SDK obeys: variables, its config file, bucket and region."""

    target: str
    variables: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    bucket: str = "archive"
    region: str = "eu-west-1"
    queue: str = "sqs.eu-west-1.amazonaws.com"


S3 = "http://s3.test"
KEY_THERE = "archive/emails/k.json"
VIRTUAL = "s3 =\n  addressing_style = virtual"
SERVICES = "services = mine\n[services mine]\ns3 =\n  endpoint_url = http://s3.test:7777"
TWO = {"AWS_ENDPOINT_URL": "http://all.test", "AWS_ENDPOINT_URL_S3": "http://s3.test:9000/base/"}
IGNORED = {"AWS_ENDPOINT_URL": S3, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
FIPS = {"AWS_USE_FIPS_ENDPOINT": "true"}
DUAL_STACK = {"AWS_USE_DUALSTACK_ENDPOINT": "true"}
ADDRESSES = {
    "as it comes": Way("archive.s3.amazonaws.com:443", region="us-east-1"),
    "another region": Way("archive.s3.eu-west-1.amazonaws.com:443"),
    "China": Way("archive.s3.cn-north-1.amazonaws.com.cn:443", region="cn-north-1"),
    "FIPS": Way("archive.s3-fips.us-east-1.amazonaws.com:443", FIPS, region="us-east-1"),
    "dual stack": Way("archive.s3.dualstack.eu-west-1.amazonaws.com:443", DUAL_STACK),
    "acceleration": Way("archive.s3-accelerate.amazonaws.com:443", config="s3 =\n  use_accelerate_endpoint = true"),
    "a dotted bucket": Way("s3.eu-west-1.amazonaws.com:443", bucket="my.archive"),
    "path style": Way("s3.eu-west-1.amazonaws.com:443", config="s3 =\n  addressing_style = path"),
    "virtual-hosted style": Way("archive.s3.amazonaws.com:443", config=VIRTUAL, region="us-east-1"),
    "an endpoint": Way(f"{S3}/{KEY_THERE}", {"AWS_ENDPOINT_URL": S3}),
    "an endpoint of S3": Way(f"{S3}:9000/base/{KEY_THERE}", TWO),
    "an endpoint, virtual-hosted style": Way("http://archive.s3.test/emails/k.json", {"AWS_ENDPOINT_URL": S3}, VIRTUAL),
    "an endpoint in the config file": Way(f"{S3}:7777/{KEY_THERE}", config=SERVICES),
    "endpoints that are to be ignored": Way("archive.s3.amazonaws.com:443", IGNORED, region="us-east-1"),
}


@pytest.mark.parametrize("way", ADDRESSES.values(), ids=ADDRESSES)
async def test_both_halves_go_to_the_same_place(
    proxy: FakeAws, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """A PUT, by whichever client, goes where a GET of the AWS SDK goes, whatever the SDK obeys."""
    for name, value in way.variables.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "config"
    file.write_text(f"[default]\n{way.config}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    async with opened(client=client, bucket=way.bucket, region=way.region) as aws:
        assert [] == proxy.requests
        assert way.target == await target_of_put(aws, proxy)
        assert way.target == await target_of_get(aws, proxy, way.bucket)


TWO_OF_SQS = {"AWS_ENDPOINT_URL": "http://all.test", "AWS_ENDPOINT_URL_SQS": "http://sqs.test:9000/base"}
QUEUE_ADDRESSES = {
    "as it comes": Way("sqs.eu-west-1.amazonaws.com:443"),
    "FIPS": Way("sqs-fips.us-east-1.amazonaws.com:443", FIPS, region="us-east-1"),
    "dual stack": Way("sqs.eu-west-1.api.aws:443", DUAL_STACK),
    "an endpoint": Way("http://sqs.test/", {"AWS_ENDPOINT_URL": "http://sqs.test"}),
    "an endpoint of SQS": Way("http://sqs.test:9000/base", TWO_OF_SQS),
    "an endpoint, and a URL of another": Way("http://sqs.test/", {"AWS_ENDPOINT_URL": "http://sqs.test"}, queue=VPC),
    "FIPS, and a URL of another": Way("sqs-fips.eu-west-1.amazonaws.com:443", FIPS, queue=VPC),
    # without either, a URL that names an endpoint itself is believed
    "a VPC endpoint": Way(f"{VPC}:443", queue=VPC),
    "a VPC endpoint of the European Sovereign Cloud": Way(
        f"{VPC_OF_EUSC}:443", queue=VPC_OF_EUSC, region="eusc-de-east-1"
    ),
    "a FIPS endpoint": Way("sqs-fips.eu-west-1.amazonaws.com:443", queue="sqs-fips.eu-west-1.amazonaws.com"),
    "a dual stack endpoint": Way("sqs.eu-west-1.api.aws:443", queue="sqs.eu-west-1.api.aws"),
    "an older name of the public one": Way("sqs.eu-west-1.amazonaws.com:443", queue="eu-west-1.queue.amazonaws.com"),
    "no AWS": Way("mq.example:443", queue="mq.example"),
}


@pytest.mark.parametrize("way", QUEUE_ADDRESSES.values(), ids=QUEUE_ADDRESSES)
async def test_the_queue_is_asked_where_the_sdk_says(
    proxy: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """Or, where it says nothing, where the queue's URL does; both clients obey region, endpoints, FIPS, dual stack."""
    for name, value in way.variables.items():
        monkeypatch.setenv(name, value)
    queue_url = f"https://{way.queue}/123456789012/emails"
    async with opened(client=client, queue_url=queue_url, queue_region=way.region) as aws:
        assert [] == proxy.requests
        with suppress(QueueFaultError):
            await aws.inbox.receive(1, 0)
    assert way.target == proxy.requests[-1].target


@pytest.mark.parametrize(("region", "signed"), [("eu-west-1", "eu-west-1"), ("fips-us-east-1", "us-east-1")])
async def test_the_region_of_the_settings_is_signed_for(
    fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch, region: str, signed: str
) -> None:
    """Queue and bucket each have theirs; `fips-us-east-1` is a way to ask for other endpoints, and no region."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    fake.rule = an_aws
    async with opened(client=client, region=region, queue_region="ap-south-1") as aws:
        await aws.inbox.receive(1, 0)
        await aws.archive.put(KEY, b"{}")
    scopes = [asked.headers["authorization"].partition("/")[2].partition(",")[0] for asked in fake.requests]
    assert [["ap-south-1", "sqs"], [signed, "s3"]] == [scope.split("/")[1:3] for scope in scopes]


async def test_no_proxy_is_honoured_by_both_halves(fake: FakeAws, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What NO_PROXY names is asked directly."""
    async with scripted_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        fake.rule = an_aws
        async with opened(client=client) as aws:
            await aws.inbox.receive(1, 0)
            await aws.archive.put(KEY, b"{}")
        assert [] == proxy.requests
    assert 2 == len(fake.requests)


WRONG = {
    "a profile that is not there": {"AWS_PROFILE": "no-such-profile"},
    "a CA bundle that is not there": {"AWS_CA_BUNDLE": "/nonexistent/ca.pem"},
    "a CA bundle that is none": {"AWS_CA_BUNDLE": __file__},
    "an endpoint that is no URL": {"AWS_ENDPOINT_URL": "not a url"},
}


@pytest.mark.parametrize("variables", WRONG.values(), ids=WRONG)
async def test_an_aws_configuration_that_cannot_be_used_is_told_at_the_start(
    client: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """It is one error, with a fix, before anything is begun."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartError) as caught:
        async with opened(client=client):
            pass
    assert "AWS_*" in caught.value.fix


@pytest.mark.parametrize("service", ["SQS", "S3"])
@pytest.mark.parametrize("is_in_file", [False, True], ids=["variable", "config file"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "http://user:hunter2@127.0.0.1:1",
        "http://hunter2@127.0.0.1:1",
        "http://user:hunter2/@127.0.0.1:1",
        "http://user:hunter2@bad host:1",
        "user:hunter2@127.0.0.1:1",
    ],
)
async def test_an_endpoint_with_a_password_is_refused_and_never_shown(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, endpoint: str, *, is_in_file: bool
) -> None:
    """No request can use one, and every library quotes the URL."""
    if is_in_file:
        file = tmp_path / "config"
        section = f"[services mine]\n{service.lower()} =\n  endpoint_url = {endpoint}\n"
        file.write_text(f"[default]\nservices = mine\n{section}")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    else:
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", endpoint)
    with pytest.raises(StartError) as caught:
        async with opened(client=client):
            pass
    said = "must not have a user name or a password in it"
    assert f"the endpoint of {service.lower()} {said} (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_{service}, or" in str(
        caught.value
    )
    assert "hunter2" not in str(caught.value)


FOREIGN = "fr-par"
OF_AWS = "http://queue.amazonaws.com/1/q"  # a URL that names no region
NO_REGIONS = (FOREIGN, "us-east", "us-east-1a", "frankfurt")


@pytest.mark.parametrize("region", NO_REGIONS)
async def test_a_region_that_is_none_of_awss_is_refused_where_aws_is_asked(client: str, region: str) -> None:
    """No host is called after it; the setting is named."""
    with pytest.raises(SettingsError) as of_bucket:
        async with opened(client=client, region=region):
            pass
    with pytest.raises(SettingsError) as of_queue:
        async with opened(client=client, queue_region=region, queue_url=OF_AWS):
            pass
    assert f"AWS_REGION must be an AWS region; it is '{region}'." == of_bucket.value.detail
    said = f"SQS_REGION, or AWS_REGION if that is not set, must be an AWS region; it is '{region}'."
    assert said == of_queue.value.detail
    assert "AWS_ENDPOINT_URL_S3" in of_bucket.value.fix


ENDPOINTS: dict[str, tuple[dict[str, str], str]] = {
    "a variable": ({"AWS_ENDPOINT_URL": S3}, ""),
    "a variable of each": ({"AWS_ENDPOINT_URL_S3": S3, "AWS_ENDPOINT_URL_SQS": S3}, ""),
    "services of the config file": (
        {},
        "[default]\nservices = x\n[services x]\ns3 =\n  endpoint_url = http://s3\nsqs =\n  endpoint_url = http://sqs",
    ),
    "a profile": ({"AWS_PROFILE": "p"}, f"[profile p]\nendpoint_url = {S3}"),
}


@pytest.mark.parametrize(("variables", "config"), ENDPOINTS.values(), ids=ENDPOINTS)
async def test_any_plain_name_is_a_region_where_there_is_an_endpoint(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], config: str
) -> None:
    """Other makers call theirs as they like; the endpoint may come from wherever an AWS SDK looks."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "config"
    file.write_text(f"{config}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    async with opened(client=client, region=FOREIGN, queue_region=FOREIGN, queue_url=OF_AWS):
        pass


async def test_what_the_sdk_says_of_a_configuration_is_without_passwords() -> None:
    """Whatever URL it quotes."""
    with pytest.raises(StartError) as caught, usable_configuration():
        raise ValueError("Invalid proxy: http://user:hunter2@bad")
    assert "The AWS configuration cannot be used: Invalid proxy: http://bad." == caught.value.detail


async def test_opening_needs_no_aws_in_reach(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials, without a server, everything opens: only the first call fails, and says why."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    async with opened(client=client) as aws:
        with pytest.raises(QueueFaultError) as caught:
            await aws.inbox.receive(1, 0)
    assert caught.value.cause is Cause.CREDENTIALS


async def test_without_a_file_descriptor_both_halves_say_so(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that cannot be made looks like a fault of the network; the fix names what is missing."""

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    point_at("http://127.0.0.1:1", monkeypatch)
    async with opened(client=client) as aws:
        monkeypatch.setattr(os, "open", none_left)
        with pytest.raises(QueueFaultError) as queue_fault:
            await aws.inbox.receive(1, 0)
        with pytest.raises(StoreFaultError) as store_fault:
            await aws.archive.put(KEY, b"{}")
        monkeypatch.undo()
    for fault in (queue_fault.value, store_fault.value):
        assert fault.cause is Cause.NETWORK
        assert "ulimit -n" in fault.fix
