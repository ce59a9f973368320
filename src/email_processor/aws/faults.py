"""From what AWS, botocore and the network say to a cause and a fix."""

import errno
import os
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError as HttpError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError as BotoHttpError

from email_processor.domain.errors import Cause, QueueFaultError, StoreFaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_ERRORS = 500  # HTTP statuses from here on are the server's fault
DETAIL_MAX = 500  # characters of an AWS message that are logged

# SQS and S3 error codes by cause, in both spellings that SQS uses (query-compatible and JSON):
# docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html and
# docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_CODES: dict[Cause, tuple[str, ...]] = {
    Cause.THROTTLED: (
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "TooManyRequests",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "OverLimit",
        "KmsThrottled",
        "KMS.ThrottlingException",
        "429",
    ),
    Cause.DENIED: (
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "AccountProblem",
        "AuthorizationError",
        "NotAuthorized",
        "OptInRequired",
        "UnauthorizedAccess",
        "UnauthorizedOperation",
        "InvalidObjectState",  # as no other object is: it has to be restored first
        "InvalidPayer",
        "403",
    ),
    Cause.CREDENTIALS: (
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingSecurityHeader",
        "NotSignedUp",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
        "XAdminUserNotFound",  # versitygw's word for an access key that it does not know
        "401",
    ),
    Cause.CLOCK: ("RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"),
    Cause.MISSING: (
        "AWS.SimpleQueueService.NonExistentQueue",
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "QueueDoesNotExist",
        "QueueDeletedRecently",
        "NoSuchBucket",
        "404",
    ),
    Cause.TIMEOUT: ("RequestTimeout", "408"),
    Cause.SERVER: (
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "OperationAborted",
        "ConditionalRequestConflict",
        "PriorRequestNotComplete",
        "BadDigest",  # these three: what arrived was not what was sent
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        "409",
    ),
    Cause.CONFIGURATION: ("NotImplemented", "501"),  # a header, by a store that is not quite S3
}
_CODE_FIXES = {
    "InvalidObjectState": "Restore the object (s3:RestoreObject), and ask again when that is done: it is in an archive "
    "class or tier, as S3 Glacier Flexible Retrieval, from which nothing is read at once.",
    "OverLimit": "Too many messages of this queue are in flight (120,000, or 20,000 of a FIFO queue): see which "
    "consumers receive and do not delete, and run fewer pods if it is this one.",
}
PROTOCOL_FIX = (
    "This server does not understand SQS's JSON protocol, which the SDKs speak since 2023: use a newer release of it, "
    "or correct AWS_ENDPOINT_URL_SQS."
)
QUEUE_OPERATIONS = frozenset(
    {"ChangeMessageVisibilityBatch", "DeleteMessageBatch", "GetQueueAttributes", "ReceiveMessage", "SendMessageBatch"}
)
KEY_OPERATIONS = frozenset({"Decrypt", "DescribeKey", "GenerateDataKey"})
WRONG_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"})
REDIRECTS = frozenset({HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT})
_REGION = re.compile(r"[a-z0-9-]{1,63}")
_EXPECTED_REGION = re.compile(r"expecting '([a-z0-9-]+)'")
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
_USER_AND_PASSWORD = re.compile(r"(?<=://)\S*@")  # up to the last @: a password may have one, and a / as well
_CAUSE_OF = {code: cause for cause, codes in _CODES.items() for code in codes}

# What S3 says of one object only: another try, or another bucket policy, will not change it.
OBJECT_REFUSED = frozenset({"EntityTooLarge", "KeyTooLongError", "InvalidURI", "MetadataTooLarge"})

# What no service says, and no connection: a bug, unless a library of these has raised it over an odd answer.
BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
LIBRARIES = frozenset({"aiobotocore", "aiohttp", "botocore"})
OWN_PACKAGE = __name__.partition(".")[0]

# What SQS says of a receipt handle that is no longer good.
HANDLE_GONE = frozenset(
    {
        "AWS.SimpleQueueService.MessageNotInflight",
        "InvalidParameterValue",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)

_FIXES = {
    Cause.DENIED: "Allow it in the role's policy and in the policies of queue, bucket and key (README, Permissions).",
    Cause.MISSING: "Create it, or correct SQS_QUEUE_URL, S3_BUCKET_NAME and AWS_REGION.",
    Cause.CREDENTIALS: "Give the process valid credentials: the role of its service account, container or instance, "
    "a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    Cause.CLOCK: "Set the clock of this host (NTP): AWS accepts five minutes of difference for SQS, fifteen for S3.",
    Cause.CONFIGURATION: "Check AWS_REGION, SQS_QUEUE_URL, S3_BUCKET_NAME and the AWS_ENDPOINT_URL variables; "
    "S3_CONDITIONAL_WRITES=false is for stores that lack them.",
    Cause.ENCRYPTION: "Allow kms:GenerateDataKey and kms:Decrypt on the key, and see that it exists and is enabled.",
    Cause.NETWORK: "Check the network path to AWS: DNS, route, security group, VPC endpoint, proxy.",
    Cause.TIMEOUT: "Check the network path to AWS: DNS, route, security group, VPC endpoint, proxy.",
}
TLS_FIX = (
    "The server's certificate is not trusted: if an authority of your own has issued it, set AWS_CA_BUNDLE to that "
    "authority's PEM file; else see which server answers at this address (DNS, proxy), and this host's clock."
)
NO_CERTIFICATE = "NO_CERTIFICATE_OR_CRL_FOUND"  # what OpenSSL says of a file of authorities that holds none
SSO_ERRORS = (SSOError, TokenRetrievalError)
SSO_FIX = "The session with IAM Identity Center has ended: run `aws sso login` for the profile in use."
FILES_FIX = (
    "This process has no file descriptor left for a connection: raise its limit of open files (ulimit -n, LimitNOFILE, "
    "the container's). How many connections it opens at most follows from that limit."
)


def cause_of(codes: tuple[str, ...], status: int | None, message: str = "") -> Cause:
    """The cause behind an AWS error: its code in every spelling that was given, else its HTTP status."""
    if any("kms" in code.lower() for code in codes) and not any(_CAUSE_OF.get(code) for code in codes):
        return Cause.ENCRYPTION
    for code in codes:
        cause = _CAUSE_OF.get(code)
        if cause is Cause.CREDENTIALS and ("Signature expired" in message or "Signature not yet current" in message):
            return Cause.CLOCK
        if cause is not None:
            return cause
    if status is None or (status >= SERVER_ERRORS and str(status) not in _CAUSE_OF):
        return Cause.SERVER
    if status == HTTPStatus.NOT_FOUND and codes:  # of a gateway, say: it is not our queue or bucket that is missing
        return Cause.CONFIGURATION
    return _CAUSE_OF.get(str(status), Cause.CONFIGURATION)


def fix_for(cause: Cause) -> str:
    """What a person can do about it; empty where time mends it."""
    if cause is Cause.NETWORK and _is_out_of_files():
        return FILES_FIX  # neither a failed connection nor a name that does not resolve tells that this is why
    return _FIXES.get(cause, "")


def _is_out_of_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False


def without_passwords(text: str) -> str:
    """What a library or a server says, without the user names and passwords of the URLs in it."""
    return _USER_AND_PASSWORD.sub("", text)


def explain(error: Exception) -> tuple[Cause, str, str]:
    """Cause, detail and fix of whatever a botocore client raised."""
    if isinstance(error, ClientError):
        facts: Mapping[str, Any] = error.response.get("Error", {})
        about: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
        codes = tuple(str(code) for code in (facts.get("Code"), facts.get("QueryErrorCode")) if code)
        region = facts.get("Region") or about.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
        refusal = Refusal(codes, about.get("HTTPStatusCode"), str(facts.get("Message", "")), str(region))
        cause, detail, fix = explain_refusal(refusal)
        if error.operation_name in QUEUE_OPERATIONS and codes[:1] in {("400",), ("415",)}:  # by its status alone
            return cause, detail, PROTOCOL_FIX
        if error.operation_name in KEY_OPERATIONS and cause is Cause.ENCRYPTION and _CAUSE_OF.get(codes[0]):
            cause = _CAUSE_OF[codes[0]]  # the key was asked for itself: that its name is in the answer says nothing
            return cause, detail, fix_for(cause)
        return cause, detail, fix
    cause = _cause_of_local(error)
    fix = TLS_FIX if _is_tls(error) else SSO_FIX if isinstance(error, SSO_ERRORS) else fix_for(cause)
    return cause, f"{type(error).__name__}: {without_passwords(str(error))[:DETAIL_MAX]}", fix


def is_bug_of_ours(error: Exception) -> bool:
    """Whether what was raised at a call is our own mistake, and so no fault of whom we called."""
    if not isinstance(error, BUGS):
        return False
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    raised_in = [package for package in packages if package in LIBRARIES or package == OWN_PACKAGE]
    return not (raised_in and raised_in[-1] in LIBRARIES)


def queue_fault(what: str, error: Exception) -> QueueFaultError:
    """What a client of SQS raised when it was asked for `what`; a bug of ours is raised as it is."""
    if is_bug_of_ours(error):
        raise error
    cause, detail, fix = explain(error)
    return QueueFaultError(cause, f"{what}: {detail}", fix=fix)


def store_fault(what: str, error: Exception) -> StoreFaultError:
    """What a client of S3 raised when it was asked for `what`; a bug of ours is raised as it is."""
    if is_bug_of_ours(error):
        raise error
    cause, detail, fix = explain(error)
    return StoreFaultError(cause, f"{what}: {detail}", fix=fix)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is an error: its code in every spelling, HTTP status, what it says, and the region it names."""

    codes: tuple[str, ...]
    status: int | None
    message: str
    region: str = ""


def explain_refusal(refusal: Refusal) -> tuple[Cause, str, str]:
    """Cause, detail and fix of an answer that is an error."""
    # one line of it: to a wrong signature SQS adds the request that it expected, security token included
    first_line = without_passwords(refusal.message.strip().split("\n", 1)[0])
    said = _KEY_ID.sub("(a key id)", first_line)[:DETAIL_MAX]
    codes = refusal.codes
    cause = cause_of(codes, refusal.status, said)
    if cause is Cause.DENIED and "kms:" in said:
        cause = Cause.ENCRYPTION
    detail = f"{codes[0] if codes else refusal.status}: {said}".removesuffix(": ")
    return cause, detail, _region_fix(refusal, said) or _CODE_FIXES.get("".join(codes[:1])) or fix_for(cause)


def _region_fix(refusal: Refusal, said: str) -> str:
    """What to set if the answer says that it is another region, and which."""
    if not (WRONG_REGION.intersection(refusal.codes) or refusal.status in REDIRECTS):
        return ""
    expected = _EXPECTED_REGION.search(said)
    region = refusal.region or (expected[1] if expected else "")
    return f"Set AWS_REGION={region}, which is the region that S3 names." if _REGION.fullmatch(region) else ""


def _is_tls(error: Exception) -> bool:
    """A certificate that is not trusted, or a file of authorities that holds none: all else of TLS can pass."""
    inner = getattr(error, "kwargs", {}).get("error")  # botocore's errors carry what they were made of
    if isinstance(inner, ssl.SSLError):
        return isinstance(inner, ssl.SSLCertVerificationError) or inner.reason == NO_CERTIFICATE
    return isinstance(error, SSLError)


def _cause_of_local(error: Exception) -> Cause:
    match error:
        case ConnectTimeoutError() | ReadTimeoutError() | TimeoutError():
            return Cause.TIMEOUT
        case _ if _is_tls(error):
            return Cause.CONFIGURATION
        case (
            NoCredentialsError()
            | PartialCredentialsError()
            | CredentialRetrievalError()
            | SSOError()
            | TokenRetrievalError()
            | NoAuthTokenError()
            | ProfileNotFound()
        ):
            return Cause.CREDENTIALS
        case BotoConnectionError() | BotoHttpError() | HttpError() | OSError():
            return Cause.NETWORK
        case BotoCoreError():
            return Cause.CONFIGURATION
        case _:
            return Cause.SERVER  # an answer that is not what the protocol says
