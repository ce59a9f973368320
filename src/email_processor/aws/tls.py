"""TLS as every AWS SDK does it: the certificate is by a trusted authority and for the host that was asked for.

aiobotocore (2.25) takes over botocore's TLS context, in which checking the host is left to urllib3, but uses aiohttp,
which leaves it to the context: it accepts any host's certificate, and through a proxy any certificate at all.
"""

import copy
import ssl
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession


class VerifyingHttp(AIOHTTPSession):
    """aiobotocore's HTTP, with the certificate checked in full, through a proxy as well."""

    def _get_ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._get_ssl_context()  # type: ignore[misc]  # not in the stubs
        context.check_hostname = True
        return context

    def _setup_proxy_ssl_context(self, proxy_url: str) -> ssl.SSLContext:
        context: ssl.SSLContext | None = super()._setup_proxy_ssl_context(proxy_url)  # type: ignore[misc]  # as above
        return context or self._get_ssl_context()  # without one, nothing would be checked


class VerifyingSession(AioSession):
    """aiobotocore's session: all its clients, those of credential providers included, check certificates in full."""

    def create_client(self, *args: Any, config: Any = None, **options: Any) -> Any:  # noqa: ANN401 - aiobotocore's
        """A client, as aiobotocore makes it."""
        if not isinstance(config, AioConfig):
            config = AioConfig() if config is None else AioConfig().merge(config)
        verifying: Any = copy.copy(config)
        verifying.http_session_cls = VerifyingHttp
        return super().create_client(*args, config=verifying, **options)  # type: ignore[call-overload]
