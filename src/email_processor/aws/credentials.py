"""Credentials, from where every AWS SDK looks for them, for all that sign: looked for once for all who need them."""

import asyncio
import logging
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
)

from email_processor.aws.faults import explain
from email_processor.ports import Clock

if TYPE_CHECKING:
    from datetime import datetime

log = logging.getLogger(__name__)

AHEAD_SECONDS = 900.0  # before their end from which on new ones are looked for, as in every AWS SDK
LOOK_SECONDS = 60.0  # that one look may take, as botocore allows its own requests
PATIENCE_SECONDS = 10.0  # that who has none waits for a look, which goes on for those who come later
AGAIN_SECONDS = 5.0  # from one look to the next
AGAIN_MOST_SECONDS = 60.0  # the same, while there are some that are still good
REMINDER_SECONDS = 300.0
ENDLESS = float("inf")

# What SQS, S3 and STS say of keys that they do not know, or no longer, whenever the keys were to end.
REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "UnrecognizedClient",
        "UnrecognizedClientException",
    }
)


class Source(Protocol):
    """botocore's own chain of credential providers."""

    async def load_credentials(self) -> Any:  # noqa: ANN401 - botocore's credentials have no common type
        """Whatever the first provider that has any gives, or None."""
        ...


class _Keys(NamedTuple):
    """Credentials that were found, until when they are good (epoch seconds), and what gave them."""

    frozen: ReadOnlyCredentials
    until: float
    provider: str


class Credentials:
    """Credentials that are looked for when they are needed, again before they end, and again when AWS refuses them.

    botocore's own client keeps "none" for ever if there were none when it was made, lets every caller refresh for
    itself, one after the other, and throws good ones away ten minutes before their end when a refresh fails. Here one
    look is under way at a time, whose result or failure is everybody's, and the old ones are used until they end.

    Stands in for both the credential chain of a session (`load_credentials`) and the credentials it finds
    (`get_frozen_credentials`).
    """

    method = "email-processor"

    def __init__(self, open_source: Callable[[], Source], clock: Clock, patience: float = PATIENCE_SECONDS) -> None:
        """Every look is one into a new source of `open_source`: botocore's remember files and answers of STS.

        `patience` (seconds) should be less than a request may take, or it is the request that is blamed.
        """
        self._open_source = open_source
        self._clock = clock
        self._patience = patience
        self._keys: _Keys | None = None
        self._fresh_until = 0.0  # epoch seconds, until which there is nothing to do but to use them
        self._is_refused = False
        self._look: asyncio.Task[None] | None = None
        self._looked_at = self._next_look = float("-inf")  # and not before, on the monotonic clock
        self._failure: Exception | None = None  # of the last look
        self._failures = 0  # in a row
        self._warned_at = float("-inf")

    async def load_credentials(self) -> "Credentials":
        """These, found or not."""
        return self

    def get_deferred_property(self, _name: str) -> object:
        """The account id is asked for this way by botocore; aiobotocore replaces it by `get_account_id`."""
        return self.get_account_id

    async def get_account_id(self) -> str | None:
        """The account they belong to, if their provider says so; no service used here has endpoints by account."""
        return (await self.get_frozen_credentials()).account_id

    @property
    def provider(self) -> str:
        """What gave the credentials, as botocore names it (`env`, `assume-role-with-web-identity`, ...)."""
        return "the configured provider" if self._keys is None else self._keys.provider

    @property
    def until(self) -> float:
        """When those in use end, in epoch seconds; infinity if they have no end, or if there are none."""
        return ENDLESS if self._keys is None else self._keys.until

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The credentials as they are now.

        Raises:
            BotoCoreError: there are none, or their provider failed.
            ClientError: the service that gives them is in trouble.
        """
        keys = self._keys
        if keys is not None and self._clock.wall() < self._fresh_until:
            return keys.frozen
        look = self._begin_look()
        if look is not None and (self._is_refused or not self._is_good()):
            await asyncio.wait({look}, timeout=self._patience)  # it goes on when who waits for it is cancelled
        if self._keys is not None and self._is_good():
            return self._keys.frozen
        if self._look is not None:
            raise CredentialRetrievalError(provider=self.provider, error_msg=f"none after {self._patience:g} s")
        error = self._failure or CredentialRetrievalError(provider=self.provider, error_msg="they are over")
        raise copy(error) from error.__cause__  # a copy, or the traceback would grow with everybody who is told

    def refused(self, keys: ReadOnlyCredentials | None = None) -> None:
        """AWS does not take `keys` (by default those in use): look again, however long they should have been good."""
        if self._keys is not None and keys in {None, self._keys.frozen}:
            self._is_refused = True
            self._fresh_until = 0.0
            self._next_look = min(self._next_look, self._looked_at + AGAIN_SECONDS)

    @property
    def is_refused(self) -> bool:
        """Whether AWS has refused those in use, and taken no request of theirs since."""
        return self._is_refused

    def taken(self, keys: ReadOnlyCredentials) -> None:
        """AWS takes `keys` after all: those in use are as good as they were."""
        if self._keys is not None and keys == self._keys.frozen:
            self._is_refused = False
            self._fresh_until = self._keys.until - AHEAD_SECONDS

    async def close(self) -> None:
        """End a look that is under way, and the process that it may have started."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait({self._look})

    def _is_good(self) -> bool:
        return self._keys is not None and self._clock.wall() < self._keys.until

    def _begin_look(self) -> "asyncio.Task[None] | None":
        if self._look is None and self._clock.monotonic() >= self._next_look:
            self._look = asyncio.get_running_loop().create_task(self._look_now(), name="credentials")
        return self._look

    async def _look_now(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                keys = await self._find()
        except Exception as error:  # noqa: BLE001 - a provider may raise anything, and everybody must be told
            self._failed(self._named(error))
        else:
            self._found(keys)
        finally:
            self._look = None

    async def _find(self) -> _Keys:
        found = await self._open_source().load_credentials()
        if found is None:
            raise NoCredentialsError
        # Some kinds have asked by now, others ask when they are used; none should be asked twice.
        frozen = getattr(found, "_frozen_credentials", None) or await found.get_frozen_credentials()
        until: datetime | None = getattr(found, "_expiry_time", None)
        keys = _Keys(frozen, ENDLESS if until is None else until.timestamp(), str(found.method))
        if keys.until <= self._clock.wall():
            raise CredentialRetrievalError(provider=keys.provider, error_msg=f"what it gives is over since {until}")
        if wrong := _impossible_part(frozen):
            what = f"the {wrong} has a character in it that no key has: a line break, a curly quote"
            raise CredentialRetrievalError(provider=keys.provider, error_msg=what)
        return keys

    def _found(self, keys: _Keys) -> None:
        left = keys.until - self._clock.wall()
        is_refused = self._is_refused and self._keys is not None and keys.frozen == self._keys.frozen
        if self._failures and self._warned_at > float("-inf"):
            log.info("credentials_renewed", extra={"provider": keys.provider, "failures": self._failures})
        self._keys = keys
        self._fresh_until = 0.0 if is_refused else keys.until - AHEAD_SECONDS
        self._is_refused = is_refused
        self._failure = None
        self._failures = 0
        self._warned_at = float("-inf")
        longest = AGAIN_SECONDS if is_refused else AGAIN_MOST_SECONDS
        self._pause(min(max(left / 10, AGAIN_SECONDS), longest, left))

    def _failed(self, error: Exception) -> None:
        self._failure = error
        self._failures += 1
        left = self.until - self._clock.wall()
        if not self._is_good():
            self._pause(AGAIN_SECONDS)
            return
        self._pause(min(AGAIN_SECONDS * 2 ** min(self._failures - 1, 10), AGAIN_MOST_SECONDS, max(left, AGAIN_SECONDS)))
        if self._clock.monotonic() - self._warned_at >= REMINDER_SECONDS:
            self._warned_at = self._clock.monotonic()
            cause, detail, fix = explain(error)
            extra = {"provider": self.provider, "cause": cause.value, "error": detail, "fix": fix}
            log.warning(
                "credentials_not_renewed", extra=extra if left == ENDLESS else extra | {"seconds_left": round(left)}
            )

    def _pause(self, seconds: float) -> None:
        self._looked_at = self._clock.monotonic()
        self._next_look = self._looked_at + seconds

    def _named(self, error: Exception) -> Exception:
        """What a look has failed of, in botocore's terms."""
        text = f"{type(error).__name__}: {error}"
        match error:
            case BotoCoreError() if not isinstance(error, ParamValidationError):  # a token that cannot be one
                return error
            case ClientError() if not explain(error)[0].needs_a_person:
                return error  # STS and its kin in trouble, which passes; a refusal is a matter of credentials
            case ClientError() | ParamValidationError():
                text = str(error)
            case TimeoutError():
                text = f"no answer within {LOOK_SECONDS:g} s"
        named = CredentialRetrievalError(provider=self.provider, error_msg=text)
        named.__cause__ = error
        return named


def _impossible_part(keys: ReadOnlyCredentials) -> str | None:
    """What of `keys` cannot be meant, and would break out of its header or out of the signature, if anything."""
    parts = {"access key id": keys.access_key, "secret access key": keys.secret_key, "session token": keys.token}
    for name, value in parts.items():
        if value and not (value.isascii() and value.isprintable()):
            return name
    return None
