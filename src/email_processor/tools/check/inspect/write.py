"""A real PUT and GET, for `--write`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from email_processor.ports import Archive, Stored
from email_processor.tools.check.inspect.asking import Answer, Asker, Fault, Unasked

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

PROBE = b'{"check":"email-processor","note":"Written by `email-processor check --write`. It can be deleted."}'


@dataclass(frozen=True, slots=True)
class Written:
    """A real PUT through the service's own archive, the same once more, and a GET of the key.

    `back` is the object's bytes and `encryption` what S3 said of it, as in `aws:kms arn:aws:kms:...`.
    """

    key: str
    first: Stored | Fault
    again: Answer[Stored]
    back: Answer[bytes]
    encryption: str = ""


async def write(ask: Asker, archive: Archive, client: "S3Client", bucket: str, key: str) -> Written:
    """Store the probe as the service stores an email, see whether a second PUT leaves it alone, and read it back."""
    first = await ask(archive.put(key, PROBE))
    if isinstance(first, Fault):
        no = Unasked("a PUT that succeeds")
        return Written(key, first, no, no)
    again = await ask(archive.put(key, PROBE))
    back = await ask(_read(client, bucket, key))
    return Written(key, first, again, back) if isinstance(back, Fault) else Written(key, first, again, *back)


async def _read(client: "S3Client", bucket: str, key: str) -> tuple[bytes, str]:
    answer = await client.get_object(Bucket=bucket, Key=key)
    async with answer["Body"]:
        body = await answer["Body"].read(len(PROBE) + 1)
    return body, f"{answer.get('ServerSideEncryption', '')} {answer.get('SSEKMSKeyId', '')}".strip()
