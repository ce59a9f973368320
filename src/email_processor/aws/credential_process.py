"""Programs that give credentials (`credential_process`), each of which ends when nobody waits for it any more."""

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

from aiobotocore.credentials import (
    AioAssumeRoleProvider,
    AioProcessProvider,
    AioProfileProviderBuilder,
    create_credential_resolver,
)
from aiobotocore.session import AioSession

from email_processor.aws.credentials import Source


class _Child:
    """A program, as botocore's provider wants it; with those that it has started itself.

    They get a session of their own, so that all of them can be ended. It has no terminal: none can ask for a password
    or for the code of an MFA device there.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *command: str, **pipes: Any) -> "_Child":  # noqa: ANN401 - asyncio's options
        return cls(await asyncio.create_subprocess_exec(*command, **pipes, start_new_session=True))

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        try:
            return await self._process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):  # that it has ended itself says nothing of what it has started
                os.killpg(self._process.pid, signal.SIGKILL)
            # asyncio closes the pipes only when it has read their end, which may come after the event loop's own
            self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - it has no other way in
            await self._process.wait()
            raise


class _Builder(AioProfileProviderBuilder):
    """Makes the providers of one profile."""

    def _create_process_provider(self, profile_name: str) -> Any:  # noqa: ANN401 - not in the stubs
        return _ended(super()._create_process_provider(profile_name))  # type: ignore[misc]  # as above


def _ended(provider: Any) -> Any:  # noqa: ANN401 - the stubs know little of providers
    """The same provider, whose programs end with whoever waits for them."""
    if isinstance(provider, AioProcessProvider):
        provider._popen = _Child.start  # type: ignore[attr-defined]  # noqa: SLF001 - it can be given when one is made, but the chain makes it
    return provider


def credential_chain(session: AioSession, region: str) -> Source:
    """The SDK's chain of providers for `session`, in its order, with nothing remembered from one that was before."""
    cache: dict[str, object] = {}
    chain: Any = create_credential_resolver(session, cache=cache, region_name=region)
    for provider in map(_ended, chain.providers):
        if isinstance(provider, AioAssumeRoleProvider):  # its source profile may name a program
            builder = _Builder(session, cache=cache, region_name=region)
            provider._profile_provider_builder = builder  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    source: Source = chain
    return source
