"""The report, before it is written down."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from email_processor import __version__
from email_processor.domain.errors import SettingsError
from email_processor.settings import Problem, Settings
from email_processor.tools.check.codes import Group
from email_processor.tools.check.facts import Facts
from email_processor.tools.check.findings import Finding, Status, failed
from email_processor.tools.check.inspect.bucket import BucketFacts
from email_processor.tools.check.inspect.identity import Identity
from email_processor.tools.check.inspect.places import origin_of
from email_processor.tools.check.inspect.queue import QueueFacts

ENDPOINTS = ("sqs", "s3", "s3_put")
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Report:
    """Where and as whom was looked, and what was found. What is not known is None."""

    version: str
    region: str | None
    queue: str | None
    bucket: str | None
    identity: Identity | None
    endpoints: Mapping[str, str | None]
    findings: Sequence[Finding]

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many findings there are of each status."""
        found = Counter(finding.status for finding in self.findings)
        return {status: found[status] for status in Status}

    @property
    def settings_are_wrong(self) -> bool:
        """Whether the service would not even start."""
        return any(
            finding.check.group is Group.SETTINGS and finding.status is Status.FAILED for finding in self.findings
        )


def report_of(
    settings: Settings, problems: Iterable[Problem], facts: Facts | None, findings: Iterable[Finding]
) -> Report:
    """Put it together; `facts` is None if only the settings were looked at."""
    wrong = {problem.names[0] for problem in problems}
    endpoints: dict[str, str | None] = dict.fromkeys(ENDPOINTS)
    if facts is not None and isinstance(facts.queue, QueueFacts):
        endpoints["sqs"] = origin_of(facts.queue.endpoint)
    if facts is not None and isinstance(facts.bucket, BucketFacts):
        endpoints |= {"s3": facts.bucket.endpoint, "s3_put": facts.bucket.put_endpoint}
    return Report(
        version=__version__,
        region=None if "AWS_REGION" in wrong else settings.aws_region,
        queue=None if "SQS_QUEUE_URL" in wrong else settings.sqs_queue_url,
        bucket=None if "S3_BUCKET_NAME" in wrong else settings.s3_bucket_name,
        identity=facts.identity if facts is not None else None,
        endpoints=endpoints,
        findings=[_clean(finding) for finding in findings],
    )


def unreadable(error: SettingsError) -> Report:
    """Not even the settings could be read."""
    finding = failed("EP101", "cannot be read", error=error.detail, fix=error.fix, about="settings")
    return Report(__version__, None, None, None, None, dict.fromkeys(ENDPOINTS), [_clean(finding)])


def _clean(finding: Finding) -> Finding:
    return replace(
        finding,
        evidence=clean(finding.evidence),
        error=clean(finding.error),
        fix="\n".join(clean(line) for line in finding.fix.splitlines()),
    )


def clean(text: str) -> str:
    """One line that may be printed: no control characters (AWS's words are not ours), no passwords in URLs."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return _USER_AND_PASSWORD.sub("", " ".join(printable.split()))
