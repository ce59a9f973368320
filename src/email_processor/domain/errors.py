"""Everything that can go wrong, by who is at fault: this message, this object, the store, the queue, or us.

The first line of an error's docstring is the start of its message.
"""

from enum import StrEnum
from typing import Self


class EmailProcessorError(Exception):
    """email-processor failed."""

    def __init__(self, detail: str = "", *, fix: str = "") -> None:
        """Keep what happened (`detail`) apart from what to do now (`fix`), so that logs can show both."""
        super().__init__(detail, fix)
        self.detail = detail
        self.fix = fix

    def anew(self) -> Self:
        """The same without its traceback, which holds on to all that it has passed: to keep it, and no body with it."""
        other = type(self).__new__(type(self), *self.args)
        vars(other).update(vars(self))
        return other

    def __str__(self) -> str:
        """Say what happened, to what, and what now."""
        headline = (type(self).__doc__ or "").partition("\n")[0]
        return " ".join(part for part in (headline, self.detail, self.fix) if part)


class Reason(StrEnum):
    """Why a message was quarantined. The values are metric labels and stand in the quarantine document."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    TOO_DEEP = "too_deep"
    PAYLOAD_MISSING = "payload_missing"
    CORRUPT = "corrupt"
    UNDELIVERABLE = "undeliverable"


class UnarchivableError(EmailProcessorError):
    """The message is not an email that can be archived."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """`detail` must never quote the body: it is logged and stored."""
        super().__init__(detail)
        self.reason = reason


class ObjectRefusedError(EmailProcessorError):
    """The store refuses this object, and takes others."""


class ForeignObjectError(EmailProcessorError):
    """The object is no document of this service."""


class PayloadMissingError(EmailProcessorError):
    """The offloaded payload that the message points to does not exist."""


class PayloadTooLargeError(EmailProcessorError):
    """The offloaded payload that the message points to is larger than PAYLOAD_MAX_BYTES."""


class Cause(StrEnum):
    """What kind of fault a service answered with. The values are metric labels."""

    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    NETWORK = "network"
    SERVER = "server"
    DENIED = "denied"
    MISSING = "missing"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    CONFIGURATION = "configuration"
    ENCRYPTION = "encryption"

    @property
    def needs_a_person(self) -> bool:
        """Waiting does not mend it: somebody has to change a policy, a setting or a key."""
        return self not in _PASSING


_PASSING = frozenset({Cause.THROTTLED, Cause.TIMEOUT, Cause.NETWORK, Cause.SERVER})


class ServiceFaultError(EmailProcessorError):
    """A service that we depend on failed."""

    def __init__(self, cause: Cause, detail: str, *, fix: str = "", code: str = "", status: int = 0) -> None:
        """`cause` decides what is done about it; `detail` names operation, resource and what the service said.

        `code` is the service's own word for it, or its HTTP status if it gave none; empty if it did not answer.
        `status` is the HTTP status; 0 if there is none.
        """
        super().__init__(detail, fix=fix)
        self.cause = cause
        self.code = code
        self.status = status


class StoreFaultError(ServiceFaultError):
    """S3 failed: no message is to blame."""


class QueueFaultError(ServiceFaultError):
    """SQS failed: no message is to blame."""


class SettingsError(EmailProcessorError):
    """email-processor cannot start."""


class StartError(EmailProcessorError):
    """email-processor could not start."""
