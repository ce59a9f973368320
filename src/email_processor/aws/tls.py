"""TLS as every AWS SDK does it: the certificate is by a trusted authority and for the host that was asked for.

aiobotocore (2.25) takes over botocore's TLS context, in which checking the host is left to urllib3, but uses aiohttp,
which leaves it to the context: it accepts any host's certificate, and through a proxy any certificate at all.

The authorities are in a file, which is renewed while the process runs: it is read again when a certificate is not
trusted and the file is another one than was read.
"""

import copy
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import SSLError
from botocore.httpsession import get_cert_path

from email_processor.aws.endpoints import refuse_password
from email_processor.aws.resolver import Resolver


class _BundleFile:
    """A file that may become another one."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._read = self._state()

    def renew(self, read: Callable[[], object]) -> bool:
        """Call `read` if it is another one than was read last, and say whether it is.

        What `read` raises is passed on; the file counts as not read then.
        """
        state = self._state()
        if state in {None, self._read}:
            return False
        read()
        self._read = state
        return True

    def _state(self) -> tuple[int, ...] | None:
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


class Trust:
    """The authorities that are trusted, read again when their file has become another one."""

    def __init__(self, authorities: str) -> None:
        """Read the PEM file `authorities`.

        Raises:
            OSError: it cannot be read, or holds no certificate.
        """
        self._path = authorities
        self._file = _BundleFile(authorities)
        self._read()

    def is_other_than(self, used: ssl.SSLContext) -> bool:
        """Whether there is something else than what was `used` for a certificate that was not trusted."""
        if self.context is used:
            with suppress(OSError):  # it is just being written, or gone: what was read before is better than nothing
                self._file.renew(self._read)
        return self.context is not used

    def _read(self) -> None:
        try:
            context = ssl.create_default_context(cafile=self._path)
        except OSError as error:  # which does not say what file it is about
            raise OSError(error.errno, error.strerror, self._path) from error
        # On by default from Python 3.13 on, off in the SDK: a company's authority need not be all that RFC 5280 wants.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self.context = context


class VerifyingHttp(AIOHTTPSession):
    """aiobotocore's HTTP, with the certificate checked in full, through a proxy as well; names are looked up here."""

    def __init__(self, *, resolver: Resolver, **options: Any) -> None:  # noqa: ANN401 - aiobotocore's
        """Beside `resolver`, options are aiobotocore's."""
        super().__init__(**options)
        self._connector_args: dict[str, Any] = {**self._connector_args, "resolver": resolver}
        self._authorities = _BundleFile(get_cert_path(options.get("verify", True)) or "")

    async def send(self, request: Any) -> Any:  # noqa: ANN401 - botocore's
        """Send a request; once more if its server was not trusted and there are other authorities by now."""
        try:
            return await super().send(request)
        except SSLError:
            if not self._authorities.renew(self._sessions.clear):  # type: ignore[attr-defined]  # each has read them
                raise
        return await super().send(request)

    def _get_ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._get_ssl_context()  # type: ignore[misc]  # not in the stubs
        context.check_hostname = True
        return context

    def _setup_proxy_ssl_context(self, proxy_url: str) -> ssl.SSLContext:
        context: ssl.SSLContext | None = super()._setup_proxy_ssl_context(proxy_url)  # type: ignore[misc]  # as above
        return context or self._get_ssl_context()  # without one, nothing would be checked


class VerifyingSession(AioSession):
    """aiobotocore's session: all its clients, those of credential providers included, check certificates in full."""

    def __init__(self, resolver: Resolver) -> None:
        """Its clients look names up with `resolver`."""
        super().__init__()
        self.resolver = resolver

    def create_client(self, *args: Any, config: Any = None, **options: Any) -> Any:  # noqa: ANN401 - aiobotocore's
        """A client, as aiobotocore makes it."""
        if not isinstance(config, AioConfig):
            config = AioConfig() if config is None else AioConfig().merge(config)
        verifying: Any = copy.copy(config)
        verifying.http_session_cls = partial(VerifyingHttp, resolver=self.resolver)
        return super().create_client(*args, config=verifying, **options)  # type: ignore[call-overload]

    async def _create_client(self, service_name: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
        try:
            client: Any = await super()._create_client(service_name, *args, **options)  # type: ignore[misc]  # not in the stubs
        except ValueError as error:  # of an endpoint that is no URL, which it quotes
            refuse_password(service_name, str(error))
            raise
        refuse_password(service_name, client.meta.endpoint_url)
        return client
