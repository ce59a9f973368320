"""What this host brings: the settings, the AWS configuration, credentials and whose they are, and the clock."""

import difflib
from collections.abc import Collection, Iterator, Sequence

from email_processor.domain.errors import Cause
from email_processor.settings import Problem, Settings, queue_region
from email_processor.tools.check.codes import Group
from email_processor.tools.check.examine import AwsFacts, lack_of
from email_processor.tools.check.findings import Finding, blocked, failed, ok, skip_group, skipped, warning
from email_processor.tools.check.inspect.asking import Failure, Unasked
from email_processor.tools.check.inspect.sts_and_kms import Identity, IdentityFacts

UPLOADS_IN_A_LEASE = 3
ALIKE = 0.86  # of difflib's ratio: a missing or wrong letter, or a missing unit, and no more
# botocore's names for its providers
PROVIDERS = {
    "assume-role": "an assumed role of the AWS config file",
    "assume-role-with-web-identity": "a web identity token (IRSA)",
    "config-file": "the AWS config file",
    "container-role": "the container's role (EKS Pod Identity or ECS)",
    "custom-process": "a credential process",
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "iam-role": "the instance's role (EC2)",
    "shared-credentials-file": "the AWS credentials file",
    "sso": "IAM Identity Center (SSO)",
}
SECONDS_TO_WARN = 60
CLOCK_FIX = "Set the clock of this host, and keep it by NTP (chrony, systemd-timesyncd)."


def judge_settings(settings: Settings, problems: Sequence[Problem], names: Collection[str]) -> Iterator[Finding]:
    """`names` are the variables that are set."""
    yield from _problems("EP101", [problem for problem in problems if len(problem.names) == 1], _how_many(settings))
    yield from _problems("EP102", [problem for problem in problems if len(problem.names) > 1], "all hold")
    yield _visibility(settings)
    yield from _look_alikes(settings, names)


def _problems(code: str, problems: Sequence[Problem], otherwise: str) -> Iterator[Finding]:
    for problem in problems:
        name = problem.names[0]
        yield failed(code, problem.text, fix=f"For example:\n{name}={problem.example}", about=name)
    if not problems:
        yield ok(code, otherwise)


def _how_many(settings: Settings) -> str:
    given = sorted(name.upper() for name in settings.model_fields_set)
    rest = len(Settings.model_fields) - len(given)
    return f"{len(given)} set ({', '.join(given)}), {rest} at their defaults"


def _visibility(settings: Settings) -> Finding:
    visibility, upload = settings.visibility_timeout_seconds, settings.s3_timeout_seconds
    if visibility < UPLOADS_IN_A_LEASE * upload:
        least = int(UPLOADS_IN_A_LEASE * upload)
        return warning(
            "EP103",
            f"{visibility} s is less than three uploads of {upload:g} s (S3_TIMEOUT_SECONDS)",
            fix=f"Raise it, or lower S3_TIMEOUT_SECONDS:\nVISIBILITY_TIMEOUT_SECONDS={least}",
        )
    return ok("EP103", f"{visibility} s, room for {visibility / upload:.0f} uploads of {upload:g} s")


def _look_alikes(settings: Settings, names: Collection[str]) -> Iterator[Finding]:
    known = [name.upper() for name in Settings.model_fields]
    meant = {
        name: close[0]
        for name in sorted(names)
        if name.upper() not in known and (close := difflib.get_close_matches(name.upper(), known, n=1, cutoff=ALIKE))
    }
    for name, setting in meant.items():
        yield warning(
            "EP104", "is set, but there is no such setting", fix=f"If {setting} is meant, rename it.", about=name
        )
    if "AWS_DEFAULT_REGION" in names and "aws_region" not in settings.model_fields_set:
        yield warning(
            "EP104",
            f"is set, but only AWS_REGION is read, which is {settings.aws_region} by default",
            fix=f"Say which region is meant:\nAWS_REGION={settings.aws_region}",
            about="AWS_DEFAULT_REGION",
        )
    elif not meant:
        yield ok("EP104", "none")


def judge_regions(settings: Settings, configuration: Failure | Unasked | None) -> Finding:
    """`configuration` is what keeps the service from opening all that it opens."""
    if isinstance(configuration, Failure) and configuration.is_setting:
        return failed("EP105", "not a region of AWS", error=configuration.error, fix=configuration.fix)
    if configuration is not None:
        return skipped("EP105", f"needs {lack_of(configuration).needs}")
    return ok("EP105", " and ".join(dict.fromkeys((settings.aws_region, queue_region(settings)))))


def judge_credentials(facts: AwsFacts) -> Iterator[Finding]:
    """The first of these that fails makes the others moot."""
    configuration = facts.configuration
    if isinstance(configuration, Unasked) or (configuration is not None and configuration.is_setting):
        yield from skip_group(Group.CREDENTIALS, f"needs {lack_of(configuration).needs}")
        return
    if configuration is not None:
        yield failed("EP201", "cannot be used", error=configuration.error, fix=configuration.fix)
    else:
        yield ok("EP201", "usable")
    yield _found(facts.provider)
    yield _identity(facts)


def _found(provider: str | Failure | Unasked) -> Finding:
    if isinstance(provider, Failure):
        return failed("EP202", "none that can be used", error=provider.error, fix=provider.fix)
    if isinstance(provider, Unasked):
        return skipped("EP202", f"needs {provider.needs}")
    return ok("EP202", f"from {PROVIDERS.get(provider, provider)}")


def _identity(facts: AwsFacts) -> Finding:
    for where, refused in facts.refusals():
        return failed("EP203", f"{where} does not accept these credentials", error=refused.error, fix=refused.fix)
    if isinstance(facts.who, Unasked):
        return skipped("EP203", f"needs {facts.who.needs}")
    return _what_sts_says(facts.who)


def _what_sts_says(who: IdentityFacts) -> Finding:
    if isinstance(who.identity, Identity):
        return ok("EP203", who.identity.arn)
    if who.identity.cause is Cause.CREDENTIALS:
        why = "STS does not accept these credentials, but SQS or S3 does, and the service needs no other"
        return skipped("EP203", why, error=who.identity.error)
    finding = blocked("EP203", who.identity, missing="STS")
    if isinstance(finding, Finding):
        return finding
    return skipped("EP203", "STS does not say; the service does not need it to", error=finding.error)


def judge_clock(facts: AwsFacts) -> Iterator[Finding]:
    """AWS refuses requests that were signed too long ago, or too early."""
    refused = [fault for fault in facts.faults() if fault.cause is Cause.CLOCK]
    if facts.skew is None and not refused:
        offline = facts.configuration if isinstance(facts.configuration, Unasked) else Unasked("an answer of AWS")
        yield skipped("EP601", f"needs {offline.needs}")
        return
    difference = "too much" if facts.skew is None else _words(facts.skew)
    if refused:
        yield failed("EP601", difference, error=refused[0].error, fix=CLOCK_FIX)
    elif facts.skew is not None and abs(facts.skew) > SECONDS_TO_WARN:
        yield warning("EP601", difference, fix=CLOCK_FIX)
    else:
        yield ok("EP601", difference)


def _words(skew: float) -> str:
    seconds = round(abs(skew))
    if seconds <= 1:
        return "none to speak of"
    return f"{seconds} s {'ahead' if skew > 0 else 'behind'}"
