"""Who we are to AWS."""

from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from email_processor.aws.credentials import Credentials
from email_processor.tools.check.inspect.asking import Asker, Failure, Opened, Tap, config


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose the credentials are, as STS says it: the account, and the ARN of a user or an assumed role."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """What STS says, and how far this host's clock is ahead of it (seconds)."""

    identity: Identity | Failure
    skew: float | None = None


async def find_provider(ask: Asker, credentials: Credentials) -> str | Failure:
    """What gives the credentials, as botocore names it."""
    found = await ask(credentials.get_frozen_credentials())
    return found if isinstance(found, Failure) else credentials.provider


async def inspect_identity(ask: Asker, opened: Opened) -> IdentityFacts:
    """Ask STS whose the credentials are; the service itself never does."""
    try:
        async with opened.session.client("sts", config=config()) as sts:
            tap = Tap(sts)
            answer = await ask(sts.get_caller_identity())
            if isinstance(answer, Failure):
                return IdentityFacts(answer, tap.skew)
            return IdentityFacts(Identity(answer["Account"], answer["Arn"]), tap.skew)
    except (BotoCoreError, OSError, ValueError) as error:
        return IdentityFacts(Failure.of(error))
