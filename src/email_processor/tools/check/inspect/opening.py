"""Opening AWS for a look at it: the ports as the service has them, and a session for the questions it never asks."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import aioboto3

from email_processor.aws.archive import StoreOptions
from email_processor.aws.connect import Aws, QueueOptions, ca_bundle, connect, open_session
from email_processor.aws.credentials import Credentials
from email_processor.domain.errors import StartError

PAYLOAD_MAX_BYTES = 0  # none is read here


@dataclass(frozen=True, slots=True)
class Opened:
    """An AWS configuration that can be used."""

    session: aioboto3.Session
    credentials: Credentials
    ports: Aws


async def open_aws(stack: AsyncExitStack, queue: QueueOptions, store: StoreOptions) -> Opened:
    """Open it for as long as `stack` lasts. Nothing is sent.

    Raises:
        StartError: nothing works with this AWS configuration.
    """
    ports = await stack.enter_async_context(connect(queue, store, PAYLOAD_MAX_BYTES))
    session, credentials = open_session(store.region)
    try:
        ca_bundle(session)
    except OSError as error:
        raise StartError(f"The CA bundle cannot be read: {error}.", fix="Correct AWS_CA_BUNDLE.") from error
    return Opened(session, credentials, ports)
