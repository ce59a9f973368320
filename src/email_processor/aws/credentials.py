"""Credentials, from where every AWS SDK looks for them, for both halves: aioboto3 and obstore."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

from email_processor.aws.faults import explain

ASK_AGAIN = timedelta(seconds=60)


class Source(Protocol):
    """botocore's own chain of credential providers."""

    async def load_credentials(self) -> Any:  # noqa: ANN401 - botocore's credentials have no common type
        """Whatever the first provider that has any gives, or None."""
        ...


class Credentials:
    """Credentials that are looked for when they are needed, and again if there were none.

    botocore's own client keeps "none" for ever if there were none when it was made. Stands in for both the credential
    chain of a session (`load_credentials`) and the credentials it finds (`get_frozen_credentials`).
    """

    method = "email-processor"

    def __init__(self, source: Source) -> None:
        """Look in `source`."""
        self._source = source
        self._found: Any = None
        self._looking = asyncio.Lock()

    async def load_credentials(self) -> "Credentials":
        """These, found or not."""
        return self

    def get_deferred_property(self, _name: str) -> object:
        """The account id is asked for this way by botocore; aiobotocore replaces it by `get_account_id`."""
        return self.get_account_id

    async def get_account_id(self) -> str | None:
        """The account they belong to, if their provider says so; no service used here has endpoints by account."""
        return (await self.get_frozen_credentials()).account_id

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The credentials as they are now, refreshed if need be.

        Raises:
            BotoCoreError: there are none, or their provider failed.
            ClientError: the service that gives them is in trouble.
        """
        try:
            if self._found is None:
                await self._look()
            if self._found is None:
                raise NoCredentialsError
            frozen: ReadOnlyCredentials = await self._found.get_frozen_credentials()
        except BotoCoreError:
            raise
        except ClientError as error:
            # STS and its kin: a refusal is a matter of credentials, whatever its code; trouble of theirs passes
            if explain(error)[0].needs_a_person:
                raise CredentialRetrievalError(provider=self.provider, error_msg=str(error)) from error
            raise
        except (OSError, RuntimeError, ValueError) as error:
            # a credential process or token file that is missing, broken or late
            text = f"{type(error).__name__}: {error}"
            raise CredentialRetrievalError(provider=self.provider, error_msg=text) from error
        return frozen

    async def _look(self) -> None:
        async with self._looking:  # one at a time: a provider may ask over the network, and take its time
            if self._found is None:
                self._found = await self._source.load_credentials()

    @property
    def provider(self) -> str:
        """What gave the credentials, as botocore names it (`env`, `assume-role-with-web-identity`, ...)."""
        return str(getattr(self._found, "method", "the configured provider"))


class StoreCredentials:
    """The same credentials in obstore's terms."""

    def __init__(self, credentials: Credentials) -> None:
        """Ask `credentials`."""
        self._credentials = credentials
        self.error: Exception | None = None

    async def __call__(self) -> dict[str, object]:
        """What obstore signs with.

        The early expiry makes obstore ask again (at most ten times a second), so that a rotation is never missed. The
        error is kept because obstore passes on only its text.
        """
        try:
            frozen = await self._credentials.get_frozen_credentials()
        except Exception as error:
            self.error = error
            raise
        self.error = None
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + ASK_AGAIN,
        }
