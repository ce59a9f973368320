"""Loading what a command needs, without what loading it would do beside that. Imports nothing heavy itself."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import in here: without the garbage collector, which would look through all of it again and again."""
    gc.disable()
    try:
        with without_authorities():
            yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without_authorities() -> Iterator[None]:
    """No system's certificates, while aiohttp is imported.

    It reads all of them, twice, into contexts for clients without a context of their own: that takes long, and there
    is no such client here. Requests to AWS are checked with what the SDK trusts (`aws/tls.py`).
    """
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before
