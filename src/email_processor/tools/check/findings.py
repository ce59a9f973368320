"""What a check found, and what to do about it: policy statements and commands that can be pasted."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from email_processor.domain.errors import Cause
from email_processor.partitions import partition_of
from email_processor.tools.check.codes import BY_CODE, Check, Group, codes_of
from email_processor.tools.check.inspect.asking import Failure, Unasked, is_aws, origin_of
from email_processor.tools.check.inspect.sts_and_kms import Identity

ENDPOINT_FIX = "See what answers there in place of AWS, and correct the AWS_ENDPOINT_URL variables."

_ACTION = re.compile(r"not authorized to perform: ([a-z0-9]+:\w+)")
_RESOURCE = re.compile(r"on resource: \"?(arn:[\w:/.*+=,@-]+)")
_USER = re.compile(r"User: (arn:\S+) is not authorized")
_ROLE = re.compile(r"arn:[\w-]+:sts::\d+:assumed-role/([^/]+)/")


class Status(StrEnum):
    """How what was looked at is, from well to not looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


FROM_WORST = (Status.FAILED, Status.WARNING, Status.OK, Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    `evidence` is what was seen in a few words (for a skipped check: why), `error` what AWS said, `fix` what to do: a
    sentence, and on lines of their own the commands or the policy statement. `about` narrows the check's title down.
    """

    code: str
    status: Status
    evidence: str
    error: str = ""
    fix: str = ""
    about: str = ""

    @property
    def check(self) -> Check:
        """The check that found it."""
        return BY_CODE[self.code]

    @property
    def title(self) -> str:
        """What the finding is about: the setting that is wrong, else what its check looks at."""
        return self.about or self.check.title


def ok(code: str, evidence: str) -> Finding:
    """It is well, and `evidence` shows it."""
    return Finding(code, Status.OK, evidence)


def warning(code: str, evidence: str, *, fix: str, error: str = "", about: str = "") -> Finding:
    """The service works, but something is lost or in danger."""
    return Finding(code, Status.WARNING, evidence, error, fix, about)


def failed(code: str, evidence: str, *, fix: str, error: str = "", about: str = "") -> Finding:
    """The service cannot do its work."""
    return Finding(code, Status.FAILED, evidence, error, fix, about)


def skipped(code: str, why: str, *, error: str = "") -> Finding:
    """It could not be looked at, or there is nothing to look at."""
    return Finding(code, Status.SKIPPED, why, error)


def together(findings: Sequence[Finding]) -> Finding:
    """What a check found in several places, as one finding: the worst, and all that is as bad."""
    worst = next(status for status in FROM_WORST for finding in findings if finding.status is status)
    found = [finding for finding in findings if finding.status is worst]
    return replace(
        found[0],
        evidence="; ".join(dict.fromkeys(finding.evidence for finding in found)),
        error="; ".join(dict.fromkeys(finding.error for finding in found if finding.error)),
        fix="\n".join(dict.fromkeys(finding.fix for finding in found if finding.fix)),
    )


def blocked(code: str, answer: Failure | Unasked, *, missing: str) -> Finding | Failure:
    """The finding of a check that hangs on something whose own check has failed; else the fault, for it to judge.

    `missing` names what is not there if AWS knows no such thing.
    """
    if isinstance(answer, Unasked):
        return skipped(code, f"needs {answer.needs}")
    needs = {
        Cause.CREDENTIALS: "credentials that AWS accepts",
        Cause.CLOCK: "the right time on this host",
        Cause.MISSING: missing,
    }.get(answer.cause)
    return skipped(code, f"needs {needs}") if needs else answer


def skip_group(group: Group, why: str) -> Iterator[Finding]:
    """All checks of a group."""
    for code in codes_of(group):
        yield skipped(code, why)


def allow(action: str, resource: str | Sequence[str], fault: Failure, identity: Identity | None) -> str:
    """Who has to allow what; AWS's own words on action and resource, where it gives them, before ours."""
    named, where = _ACTION.search(fault.error), _RESOURCE.search(fault.error)
    if named and (named[1].lower() != action.lower() or action.startswith("kms:")):  # SQS writes it in lower case
        action, resource = named[1], where[1] if where else resource
    if "explicit deny" in fault.error:
        return f"A policy denies {action}, and no Allow outweighs that: take the Deny out of the policy that is named."
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return f"Add to the policy of {_whom(fault, identity)}:\n{json.dumps(statement)}{_elsewhere(resource, identity)}"


def _whom(fault: Failure, identity: Identity | None) -> str:
    named = _USER.search(fault.error)
    arn = named[1] if named else identity.arn if identity else "the role"
    role = _ROLE.match(arn)
    return f"the role {role[1]}" if role else arn


def _elsewhere(resource: str | Sequence[str], identity: Identity | None) -> str:
    parts = resource.split(":") if isinstance(resource, str) else []
    if identity is None or len(parts) < 6 or parts[4] in {"", identity.account}:  # noqa: PLR2004 - an ARN has six parts
        return ""
    return f"\nIt is in account {parts[4]}, so its own policy has to allow {identity.arn} as well."


def queue_arn(url: str, region: str) -> str:
    """The queue's ARN, as its URL tells it."""
    account, name = urlsplit(url).path.rsplit("/", 2)[-2:]
    return f"arn:{partition_of(region)}:sqs:{region}:{account}:{name}"


def object_arn(bucket: str, prefix: str, region: str) -> str:
    """The ARN of all objects under a prefix."""
    return f"{bucket_arn(bucket, region)}/{prefix}/*"


def bucket_arn(bucket: str, region: str) -> str:
    """The bucket's ARN, as policies name it."""
    return f"arn:{partition_of(region)}:s3:::{bucket}"


def command(endpoint: str, *words: str) -> str:
    """A command of AWS's command line, quoted where it needs it, for the service at `endpoint`: it may not be AWS's."""
    where = () if is_aws(endpoint) else ("--endpoint-url", origin_of(endpoint))
    return shlex.join(("aws", *where, *words))


def set_queue_attributes(endpoint: str, url: str, region: str, **attributes: str) -> str:
    """The command that changes the queue's attributes."""
    place = ("--region", region, "--queue-url", url)
    return command(endpoint, "sqs", "set-queue-attributes", *place, "--attributes", json.dumps(attributes))


@dataclass(frozen=True, slots=True)
class Permission:
    """An action that the service takes: how bad it is if it is denied, and what is lost then.

    It is as bad if the answer is neither yes nor no, unless `unclear` says otherwise.
    """

    code: str
    severity: Status
    loss: str
    unclear: Status | None = None

    def refused(
        self, answer: Failure | Unasked, resource: str | Sequence[str], identity: Identity | None, *, missing: str
    ) -> Finding:
        """The finding for an answer that is not yes.

        `resource` is what the action is on (ARN), and `missing` names it for when AWS knows no such thing.
        """
        fault = blocked(self.code, answer, missing=missing)
        if isinstance(fault, Finding):
            return fault
        if fault.cause is not Cause.DENIED:
            return Finding(
                self.code, self.unclear or self.severity, "neither allowed nor denied", fault.error, fault.fix
            )
        fix = allow(BY_CODE[self.code].title, resource, fault, identity)
        return Finding(self.code, self.severity, f"denied: {self.loss}", fault.error, fix)
