"""Where the service answers over HTTP: HTTP_HOST and HTTP_PORT, read alike by the settings and by the health check.

Imports nothing heavy: the health check is run often.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

EVERYWHERE = "::"
PORT = 8080
MOST = 65535


def read_host(text: str) -> str:
    """The address or name of a host.

    Raises:
        ValueError: it is neither; what it must be.
    """
    if not (host := text.strip()):
        raise ValueError("must be an address or a name of this host")
    return host


def read_port(text: str) -> int:
    """The number of a port.

    Raises:
        ValueError: it is none; what it must be.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(MOST)) and int(digits) <= MOST):
        raise ValueError(f"must be a whole number from 0 to {MOST}")
    return int(digits)


def http_address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port as variables set them, in any case; an empty variable is none, as for every setting.

    Raises:
        ValueError: one of them is wrong; which one, what it must be, and what it is.
    """
    given = {name.upper(): value for name, value in environment.items() if value}
    host = _read("HTTP_HOST", given.get("HTTP_HOST", EVERYWHERE), read_host)
    return host, _read("HTTP_PORT", given.get("HTTP_PORT", str(PORT)), read_port)


def _read(name: str, value: str, reader: Callable[[str], T]) -> T:
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}; it is {value!r}") from None
