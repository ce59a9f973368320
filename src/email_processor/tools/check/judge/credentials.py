"""The AWS configuration, the credentials, and whose they are."""

from collections.abc import Iterator

from email_processor.domain.errors import Cause
from email_processor.tools.check.codes import Group
from email_processor.tools.check.facts import Facts
from email_processor.tools.check.findings import Finding, blocked, failed, ok, skip_group, skipped
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.identity import Identity, IdentityFacts

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


def judge_credentials(facts: Facts) -> Iterator[Finding]:
    """The first of these that fails makes the others moot."""
    if isinstance(facts.configuration, Unasked):
        yield from skip_group(Group.CREDENTIALS, f"needs {facts.configuration.needs}")
        return
    if facts.configuration is not None:
        yield failed(
            "EP201",
            "cannot be used",
            error=facts.configuration.error,
            fix=facts.configuration.fix,
        )
    else:
        yield ok("EP201", "usable")
    yield _found(facts.provider)
    yield _identity(facts)


def _found(provider: str | Fault | Unasked) -> Finding:
    if isinstance(provider, Fault):
        return failed("EP202", "none that can be used", error=provider.error, fix=provider.fix)
    if isinstance(provider, Unasked):
        return skipped("EP202", f"needs {provider.needs}")
    return ok("EP202", f"from {PROVIDERS.get(provider, provider)}")


def _identity(facts: Facts) -> Finding:
    if isinstance(facts.who, Unasked):
        return skipped("EP203", f"needs {facts.who.needs}")
    refused = [fault for fault in facts.faults() if fault.cause is Cause.CREDENTIALS]
    if refused:
        return failed("EP203", "AWS does not accept these credentials", error=refused[0].error, fix=refused[0].fix)
    return _what_sts_says(facts.who)


def _what_sts_says(who: IdentityFacts) -> Finding:
    if isinstance(who.identity, Identity):
        return ok("EP203", who.identity.arn)
    finding = blocked("EP203", who.identity, missing="STS")
    if isinstance(finding, Finding):
        return finding
    return skipped("EP203", "STS does not say; the service does not need it to", error=finding.error)
