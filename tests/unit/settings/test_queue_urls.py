"""The queue's URL: every form that AWS and its emulators have, and none that only resembles one."""

import pytest

from email_processor.settings import load, queue_region
from tests.unit.settings.environment import named, problem, report

ACCOUNT = "123456789012"

AWS_URLS = [
    (f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/emails", "us-east-1"),
    (f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/emails.fifo", "eu-west-1"),
    (f"https://SQS.EU-WEST-1.amazonaws.com/{ACCOUNT}/emails", "eu-west-1"),
    (f"https://sqs.eu-west-1.amazonaws.com:443/{ACCOUNT}/emails", "eu-west-1"),
    (f"https://eu-west-1.queue.amazonaws.com/{ACCOUNT}/emails", "eu-west-1"),
    (f"https://sqs-fips.us-east-2.amazonaws.com/{ACCOUNT}/emails", "us-east-2"),
    (f"https://sqs.us-gov-west-1.amazonaws.com/{ACCOUNT}/emails", "us-gov-west-1"),
    (f"https://sqs.cn-north-1.amazonaws.com.cn/{ACCOUNT}/emails", "cn-north-1"),
    (f"https://cn-north-1.queue.amazonaws.com.cn/{ACCOUNT}/emails", "cn-north-1"),
    (f"https://sqs.eusc-de-east-1.amazonaws.eu/{ACCOUNT}/emails", "eusc-de-east-1"),
    (f"https://sqs.eu-central-1.api.aws/{ACCOUNT}/emails", "eu-central-1"),
    (f"https://sqs.cn-north-1.api.amazonwebservices.com.cn/{ACCOUNT}/emails", "cn-north-1"),
    (f"https://sqs.us-iso-east-1.c2s.ic.gov/{ACCOUNT}/emails", "us-iso-east-1"),
    (f"https://vpce-0a1b2c3d-abcdefgh.sqs.eusc-de-east-1.vpce.amazonaws.eu/{ACCOUNT}/emails", "eusc-de-east-1"),
    (f"https://sqs-fips.us-west-2.api.aws/{ACCOUNT}/emails", "us-west-2"),
    (f"https://vpce-0a1b2c3d4e5f-abcdefgh.sqs.eu-west-1.vpce.amazonaws.com/{ACCOUNT}/emails", "eu-west-1"),
]
ELSEWHERE = [
    # an AWS host that does not say its region
    f"https://queue.amazonaws.com/{ACCOUNT}/emails",
    # emulators and other clouds
    "http://127.0.0.1:4566/000000000000/emails",
    "http://[::1]:4566/000000000000/emails",
    "http://localhost:9324/queue/emails",
    "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/emails",
    "http://localhost:4566/queue/us-east-1/000000000000/emails",
    "http://moto:5000/123456789012/emails",
    "https://message-queue.api.cloud.yandex.net/b1g8ad42m6he1ooql78r/dj600000000537p702mb/emails",
]


@pytest.mark.parametrize("url", [*(url for url, _ in AWS_URLS), *ELSEWHERE, f"http://h/1/{'q' * 75}.fifo"])
def test_a_queues_url_is_allowed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the region that it names itself, wherever the bucket is; else in the bucket's."""
    monkeypatch.setenv("SQS_QUEUE_URL", url)
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert url == load().sqs_queue_url
    assert dict(AWS_URLS).get(url, "ap-south-1") == queue_region(load())


@pytest.mark.parametrize(("url", "region"), AWS_URLS)
def test_a_queue_of_another_region_is_found_out(url: str, region: str) -> None:
    """The wrong region would be asked, and say that there is no such queue."""
    text = report(SQS_QUEUE_URL=url, SQS_REGION="ap-south-1")
    assert ["SQS_REGION"] == named(text)
    assert f"SQS_REGION: is ap-south-1, but SQS_QUEUE_URL is in {region}" in text
    assert f"for example: SQS_REGION={region}\n" in text


def test_a_queue_whose_url_names_no_region_can_be_in_another_than_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is set."""
    monkeypatch.setenv("SQS_QUEUE_URL", ELSEWHERE[0])
    monkeypatch.setenv("SQS_REGION", "eu-west-1")
    assert "eu-west-1" == queue_region(load())


NO_URL = "must be the queue's URL, not its name or ARN"
NAMES = ("", "/", "/emails", f"/{ACCOUNT}/", f"/{ACCOUNT}/a.b", f"/{ACCOUNT}/{'q' * 81}", f"/{ACCOUNT}/{'q' * 76}.fifo")
REFUSED = [
    # what the console shows beside the URL is easily taken for it
    *((url, NO_URL) for url in ("emails", f"arn:aws:sqs:us-east-1:{ACCOUNT}:emails", "sqs://h/1/q", "//h/1/q")),
    *((url, NO_URL) for url in ("https:///1/q", "http://h:0/1/q", "http://h/1/q\t2")),
    # an address that cannot be parsed is reported, not raised
    *((f"http://{host}/1/emails", "must be a URL") for host in ("[::1", "h:99999", "h:x")),
    # the name must be one that SQS allows: 80 characters at most, `.fifo` included
    *(
        (f"https://sqs.us-east-1.amazonaws.com{path}", "must end in /<account>/<queue name>")
        for path in (*NAMES, f"/{ACCOUNT}/émails", f"/{ACCOUNT}/emails#x")
    ),
]


@pytest.mark.parametrize(("url", "said"), REFUSED)
def test_what_is_no_url_of_a_queue_is_refused(url: str, said: str) -> None:
    """Each for what it is."""
    assert f"{said}; it is {url[:80]!r}" == problem("SQS_QUEUE_URL", url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@sqs.us-east-1.amazonaws.com/1/emails",
        "https://:hunter2@sqs.us-east-1.amazonaws.com/1/emails",
        "https://hunter2@sqs.us-east-1.amazonaws.com/1/emails",
        "user:hunter2@host",
        "https://user:hunter2@[::1/1/emails",
        "https://sqs.us-east-1.amazonaws.com/1/emails?X-Amz-Signature=hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_never_shown(url: str) -> None:
    """A user name, a password or a signature has no place in a queue's URL, nor in a report."""
    said = problem("SQS_QUEUE_URL", url)
    assert "hunter2" not in said
    assert said.endswith(" (what it is now may hold a password and is not shown)")
