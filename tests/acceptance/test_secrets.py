"""What is confidential stays so: through success, quarantine, fault and outage, at DEBUG, in every output there is."""

import json
from collections.abc import Sequence

from tests.support.aws_answers import CallFault, Reply, Request
from tests.support.commands import COMMAND, run_to_end
from tests.support.emulators import SECRET_KEY, SESSION_TOKEN
from tests.support.fault_proxy import FaultProxy, changing_once, fault_proxy, only, pass_all
from tests.support.mail import CONFIDENTIAL, email, emails
from tests.support.service import Service
from tests.support.site import Site

SECRETS = (CONFIDENTIAL, SECRET_KEY, SESSION_TOKEN)
BROKEN = [
    f"Dear all, {CONFIDENTIAL}",
    json.dumps({CONFIDENTIAL: CONFIDENTIAL}),
    json.dumps([CONFIDENTIAL]),
    email(email_subject=[CONFIDENTIAL]),
    email(email_timestream=CONFIDENTIAL)[:-1],
]
# To a wrong signature AWS answers with the request that it expected, the token in it.
EXPECTED = f"'POST\n/\n\nx-amz-security-token:{SESSION_TOKEN}\n\n{CONFIDENTIAL}'"
MISMATCH = "The request signature we calculated does not match."


def telling_s3(_request: Request) -> Reply:
    """S3 that repeats what it was sent."""
    body = (
        f"<Error><Code>SignatureDoesNotMatch</Code><Message>{MISMATCH}</Message>"
        f"<CanonicalRequest>{EXPECTED}</CanonicalRequest></Error>"
    )
    return Reply(403, body.encode(), {"Content-Type": "application/xml"})


def telling_sqs(_request: Request) -> Reply:
    """SQS that repeats what it was sent."""
    error = {
        "__type": "com.amazonaws.sqs#InvalidSignatureException",
        "message": f"{MISMATCH}\n\nThe Canonical String for this request should have been\n{EXPECTED}\n",
    }
    return Reply(403, json.dumps(error).encode(), {"Content-Type": "application/x-amz-json-1.0"})


def answers(service: Service) -> list[str]:
    """All that its HTTP port tells."""
    paths = ("/healthz", "/readyz", "/metrics", "/nothing")
    return [f"{answer.headers} {answer.body.decode()}" for answer in map(service.get, paths)]


def checked(site: Site, s3: FaultProxy, sqs: FaultProxy, *options: str) -> str:
    """All that `check` tells."""
    settings = {**site.settings, "AWS_ENDPOINT_URL_S3": s3.url, "AWS_ENDPOINT_URL_SQS": sqs.url, "LOG_LEVEL": "DEBUG"}
    done = run_to_end(COMMAND, "check", *options, directory=site.directory, **settings)
    assert "EP306" in done.stdout
    return done.stdout + done.stderr


def told(texts: Sequence[str]) -> list[str]:
    """The secrets that stand in any of the texts."""
    return [secret for secret in SECRETS if any(secret in text for text in texts)]


def test_nothing_tells_a_body_a_token_or_a_credential(one_site: Site) -> None:
    """Bodies are in the bucket only, credentials nowhere, whatever AWS says and whoever asks."""
    site = one_site
    file = site.directory / "processor.log"
    texts: list[str] = []
    with (
        fault_proxy(site.emulator.url) as s3,
        fault_proxy(site.emulator.url) as sqs,
        site.service(AWS_ENDPOINT_URL_S3=s3.url, AWS_ENDPOINT_URL_SQS=sqs.url, LOG_FILE=str(file)) as service,
    ):
        # success and quarantine
        good, bad = site.queue.send_all(emails(5)), site.queue.send_all(BROKEN)
        site.queue.wait_until_empty()
        texts += answers(service)
        # a fault in which AWS repeats what it was sent, then an outage
        s3.rule = telling_s3
        good += site.queue.send_all(emails(3))
        service.wait_for("failing", part="storing", cause="credentials")
        texts += [*answers(service), checked(site, s3, sqs, "--write"), checked(site, s3, sqs, "--json", "--write")]
        s3.rule = CallFault.CUT
        s3.wait_for("PUT", count=s3.count("PUT") + 2, within=75)  # probes come up to thirty seconds apart
        texts += answers(service)
        s3.rule = pass_all
        site.queue.wait_until_empty()
        # the same of SQS, and a body that was changed on its way
        sqs.rule = telling_sqs
        service.wait_for("failing", part="receiving", cause="credentials")
        texts += [*answers(service), checked(site, s3, sqs, "--json")]
        sqs.rule = only("ReceiveMessage", changing_once(sqs, b"john.doe", b"jane.doe"))
        spoiled = site.queue.send(email())
        service.wait_for("corrupt_message")
        sqs.rule = pass_all
        site.queue.release(sqs.receipt_handles()[spoiled])
        site.queue.wait_until_empty()
        # and what passes, which is told for debugging only
        sqs.rule = only("ReceiveMessage", CallFault.CUT)
        service.wait_for("fault", part="receiving")
        sqs.rule = pass_all
        texts += [*answers(service), checked(site, s3, sqs), checked(site, s3, sqs, "--json", "--write")]
        assert 0 == service.stop()
    texts += [*service.lines, file.read_text()]
    assert {"debug", "info", "warning", "error"} == {record["level"] for record in service.events}
    assert [] == told(texts)
    assert sorted([*good, spoiled]) == site.bucket.message_ids()
    quarantined = [
        site.bucket.document(key) for key in site.bucket.listing("quarantine/")
    ]  # those of `check --write` too
    assert set(zip(bad, BROKEN, strict=True)) <= {(it.get("message_id"), it.get("body")) for it in quarantined}
