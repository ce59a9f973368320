"""The bucket, with a PUT through obstore, a Rust client."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, UnauthenticatedError
from obstore.store import MemoryStore, S3Store

from email_processor.aws.archive import CONNECT_TIMEOUT_SECONDS, StoreOptions
from email_processor.aws.credentials import Credentials, StoreCredentials
from email_processor.aws.faults import OBJECT_REFUSED, TLS_FIX, cause_of, explain, fix_for
from email_processor.domain.errors import Cause, ObjectRefusedError, StoreFaultError
from email_processor.ports import Stored

# obstore tells status and code only in the debug half of an error's text, where what the server wrote is escaped.
_STATUS = re.compile(r"\binner: Status \{\n\s+status: (\d{3}),\n")
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9._:-]{1,128})\s*</Code>")
_KIND = re.compile(r"\bHttpError \{\n\s+kind: (\w+),")
_CERTIFICATE = re.compile(r"\bInvalidCertificate\(\n\s+(\w+?)(?:Context)?\b")


async def open_obstore(
    options: StoreOptions,
    credentials: Credentials,
    *,
    endpoint: str,
    is_virtual_hosted: bool,
    ca_bundle: bytes | None,
) -> "ObstoreArchive":
    """An `ObstoreArchive`, with obstore's threads running.

    If the first PUT had to start them and found no file descriptor left, that would end the process.
    """
    await obstore.put_async(MemoryStore(), "k", b"")
    return ObstoreArchive(
        options,
        StoreCredentials(credentials),
        endpoint=endpoint,
        is_virtual_hosted=is_virtual_hosted,
        ca_bundle=ca_bundle,
    )


class ObstoreArchive:
    """An S3 bucket as `Archive`."""

    def __init__(
        self,
        options: StoreOptions,
        credentials: StoreCredentials,
        *,
        endpoint: str,
        is_virtual_hosted: bool,
        ca_bundle: bytes | None,
    ) -> None:
        """`endpoint` is where the AWS SDK would send the PUT, the bucket in its host name if `is_virtual_hosted`."""
        self._bucket = options.bucket
        self._credentials = credentials
        self._mode = "create" if options.conditional else "overwrite"
        client_options: dict[str, Any] = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": f"{int(min(CONNECT_TIMEOUT_SECONDS, options.timeout) * 1000)}ms",
            "timeout": f"{int(options.timeout * 1000)}ms",
            "user_agent": options.user_agent,
        }
        if ca_bundle is not None:
            client_options["root_certificate"] = ca_bundle
        encryption: dict[str, Any] = {}
        if options.sse != "none":
            encryption["server_side_encryption"] = options.sse
        if options.kms_key_id is not None:
            encryption["sse_kms_key_id"] = options.kms_key_id
        with _no_aws_environment():
            self._store = S3Store(
                options.bucket,
                endpoint=endpoint,
                region=options.region,
                virtual_hosted_style_request=is_virtual_hosted,
                credential_provider=cast("Any", credentials),
                client_options=cast("Any", client_options),
                retry_config={"max_retries": 0},  # retries are the pipeline's
                checksum_algorithm="sha256",  # buckets with a default retention take no PUT without a checksum
                **encryption,
            )

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        try:
            await obstore.put_async(
                self._store,
                key,
                document,
                attributes={"Content-Type": "application/json"},
                mode=cast("Any", self._mode),
                use_multipart=False,
            )
        except (BaseError, FileNotFoundError, NotImplementedError) as error:
            answer = _Answer.of(error)
            if isinstance(error, AlreadyExistsError) and answer.status == HTTPStatus.PRECONDITION_FAILED:
                return Stored.ALREADY_THERE
            raise self._fault(key, error, answer) from error
        except ValueError as error:
            raise ObjectRefusedError(f"PutObject {key!r}: {error}") from error
        return Stored.CREATED

    def _fault(self, key: str, error: Exception, answer: "_Answer") -> StoreFaultError | ObjectRefusedError:
        what = f"PutObject s3://{self._bucket}/{key}:"
        if isinstance(error, UnauthenticatedError) and answer.status is None and self._credentials.error is not None:
            cause, detail, fix = explain(self._credentials.error)
            return StoreFaultError(cause, f"{what} {detail}", fix=fix)
        if answer.code in OBJECT_REFUSED:
            return ObjectRefusedError(f"{what} {answer.code}")
        cause, detail, fix = answer.explain()
        return StoreFaultError(cause, f"{what} {detail}", fix=fix)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What obstore's error tells of S3's answer, or of the lack of one."""

    status: int | None = None
    code: str | None = None
    kind: str | None = None
    certificate: str | None = None

    @classmethod
    def of(cls, error: Exception) -> "_Answer":
        text = str(error).rpartition("\n\nDebug source:\n")[2]
        if status := _STATUS.search(text):
            code = _CODE.search(text, status.end())  # after the status: the key stands before it
            return cls(status=int(status[1]), code=code[1] if code else None)
        if "inner: BareRedirect" in text:
            return cls(status=301, code="PermanentRedirect")
        if kind := _KIND.search(text):
            flaw = _CERTIFICATE.search(text)
            return cls(kind=kind[1], certificate=flaw[1] if flaw else None)
        return cls()

    def explain(self) -> tuple[Cause, str, str]:
        if self.certificate is not None:
            return Cause.CONFIGURATION, f"the server's certificate is not trusted ({self.certificate})", TLS_FIX
        if self.status is not None:
            cause = cause_of((self.code,) if self.code else (), self.status)
            return cause, f"{self.status} {self.code or ''}".rstrip(), fix_for(cause)
        if self.kind is not None:
            cause = Cause.TIMEOUT if self.kind == "Timeout" else Cause.NETWORK
            return cause, f"no answer ({self.kind.lower()} failed)", fix_for(cause)
        return Cause.SERVER, "an answer that is not S3's", ""


@contextmanager
def _no_aws_environment() -> Iterator[None]:
    """Hide `AWS_*` from obstore while a store is made.

    It would read a dozen of them behind our back, among them some that beat its arguments (AWS_ENDPOINT_URL_S3,
    AWS_SKIP_SIGNATURE); the SDK has already told us what they mean.
    """
    with _environment_lock:
        hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.upper().startswith("AWS_")}
        try:
            yield
        finally:
            os.environ.update(hidden)


_environment_lock = threading.Lock()
