"""Credentials that run out while they are in use."""

import re
import sys
import time
from pathlib import Path

from tests.support.aws_answers import Reply, Request, refusing
from tests.support.emulators import SECRET_KEY
from tests.support.fault_proxy import fault_proxy
from tests.support.mail import emails
from tests.support.site import Site
from tests.support.truth import expected, sent, stored
from tests.support.waiting import eventually

PERIOD = 2  # seconds that each key is good for
AHEAD = 0.3  # seconds by which the clock of AWS is ahead of ours: so long is every key refused before it is renewed
A_MOMENT = 30.0  # seconds that an outage may last: the longest pause between two probes, of which most meet a good key

PROCESS = f"""
import json, time
until = (int(time.time()) // {PERIOD} + 1) * {PERIOD}
print(json.dumps({{
    "Version": 1,
    "AccessKeyId": f"AKIA{{until}}",
    "SecretAccessKey": "{SECRET_KEY}",
    "SessionToken": "{SECRET_KEY}",
    "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until)),
}}))
"""


def test_credentials_that_rotate_every_few_seconds_cost_nothing(one_site: Site, tmp_path: Path) -> None:
    """Keys expire under requests to S3 and SQS: refused for a moment, renewed, and every email is stored once."""
    process, config = tmp_path / "credentials.py", tmp_path / "config"
    process.write_text(PROCESS)
    config.write_text(f"[default]\ncredential_process = {sys.executable} -IS {process}\n")
    expired = refusing(403, "ExpiredToken")
    used: dict[str, set[str]] = {"s3": set(), "sqs": set()}
    refused = {"s3": 0, "sqs": 0}
    messages: dict[str, str] = {}

    def refuse_expired(request: Request) -> Reply | None:
        match = re.search(r"Credential=AKIA(\d+)/\d+/[^/]+/(s3|sqs)/", request.headers["authorization"])
        assert match is not None
        until, service = match.groups()
        used[service].add(until)
        if time.time() + AHEAD < int(until):
            return None
        refused[service] += 1
        return expired(request)

    def have_rotated() -> bool:
        messages.update(sent(one_site.queue, emails(5)))
        return min(map(len, used.values())) >= 4 and min(refused.values()) >= 1

    with fault_proxy(one_site.emulator.url) as proxy:
        proxy.rule = refuse_expired
        with one_site.service(
            AWS_ENDPOINT_URL=proxy.url, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_CONFIG_FILE=str(config)
        ) as service:
            eventually(have_rotated, "four keys used and some refused", within=30, every=0.2)
            one_site.queue.wait_until_empty(within=90)  # a slow machine spends much of two seconds on each key
            service.wait_until_ready()
            assert 0 == service.stop()
        outages = [record["seconds"] for record in service.logged("recovered")]
        print(f"{len(messages)} emails, keys {used}, requests refused {refused}, outages of {outages} s")
        assert max(outages, default=0.0) < A_MOMENT
        assert not any("Traceback" in line for line in service.lines)
    assert stored(one_site.bucket) == expected(messages)
    assert proxy.receive_counts() == dict.fromkeys(messages, 1)
