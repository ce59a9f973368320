"""STS and KMS, which only the check asks: whose the credentials are, and whether the key can be used."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError

from email_processor.aws.credentials import Credentials
from email_processor.tools.check.inspect.asking import Answer, Asker, Failure, Opened, Tap, Unasked, config, is_aws


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


def _knows_the_keys(client: Any, *, at_aws: bool) -> bool:  # noqa: ANN401 - a client of any service
    """Whether to ask: AWS's own STS and KMS know no keys of another server, and need not hear of them."""
    return at_aws or not is_aws(client.meta.endpoint_url)


async def inspect_identity(ask: Asker, opened: Opened, *, at_aws: bool) -> IdentityFacts | Unasked:
    """Ask STS whose the credentials are; the service itself never does. `at_aws` says that they are for AWS."""
    try:
        async with opened.session.client("sts", config=config()) as sts:
            if not _knows_the_keys(sts, at_aws=at_aws):
                return Unasked("a queue or a bucket at AWS, or AWS_ENDPOINT_URL_STS")
            tap = Tap(sts)
            answer = await ask(sts.get_caller_identity())
            if isinstance(answer, Failure):
                return IdentityFacts(answer, tap.skew)
            return IdentityFacts(Identity(answer["Account"], answer["Arn"]), tap.skew)
    except (BotoCoreError, OSError, ValueError) as error:
        return IdentityFacts(Failure.of(error))


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What was learnt of the key: a data key was made with it, and read again. None of it is kept."""

    key_id: str
    generate: Answer[bool]
    decrypt: Answer[bool]


async def inspect_key(ask: Asker, opened: Opened, key_id: str, *, at_aws: bool) -> KeyFacts | Unasked:
    """Do with the key what S3 does on our behalf; KMS changes nothing by it. `at_aws` says that the bucket is there."""
    try:
        async with opened.session.client("kms", config=config()) as kms:
            if not _knows_the_keys(kms, at_aws=at_aws):
                return Unasked("a bucket at AWS, or AWS_ENDPOINT_URL_KMS")
            made = await ask(kms.generate_data_key(KeyId=key_id, KeySpec="AES_256"))
            if isinstance(made, Failure):
                return KeyFacts(key_id, made, Unasked("kms:GenerateDataKey"))
            read = await ask(kms.decrypt(KeyId=key_id, CiphertextBlob=made["CiphertextBlob"]))
            return KeyFacts(key_id, generate=True, decrypt=read if isinstance(read, Failure) else True)
    except (BotoCoreError, OSError, ValueError) as error:
        fault = Failure.of(error)
        return KeyFacts(key_id, fault, fault)
