"""Reading an offloaded body as the pipeline does."""

from email_processor.domain.email import Pointer
from email_processor.ports import Payloads


async def fetched(payloads: Payloads, pointer: Pointer) -> bytes:
    """The payload, whatever its size."""
    async with payloads.opened(pointer) as payload:
        return await payload.read()
