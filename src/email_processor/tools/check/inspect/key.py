"""The KMS key that objects are encrypted with: does it exist, is it enabled, may we use it."""

from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from email_processor.tools.check.inspect.asking import Answer, Asker, Failure, Opened, Unasked, config


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What was learnt of the key: a data key was made with it, and read again. None of it is kept."""

    key_id: str
    generate: Answer[bool]
    decrypt: Answer[bool]


async def inspect_key(ask: Asker, opened: Opened, key_id: str) -> KeyFacts:
    """Do with the key what S3 does on our behalf; KMS changes nothing by it."""
    try:
        async with opened.session.client("kms", config=config()) as kms:
            made = await ask(kms.generate_data_key(KeyId=key_id, KeySpec="AES_256"))
            if isinstance(made, Failure):
                return KeyFacts(key_id, made, Unasked("kms:GenerateDataKey"))
            read = await ask(kms.decrypt(KeyId=key_id, CiphertextBlob=made["CiphertextBlob"]))
            return KeyFacts(key_id, generate=True, decrypt=read if isinstance(read, Failure) else True)
    except (BotoCoreError, OSError, ValueError) as error:
        fault = Failure.of(error)
        return KeyFacts(key_id, fault, fault)
