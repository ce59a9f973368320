"""`email-processor healthcheck`: asks the service in this container whether it is alive, or how it is.

No settings are read and no proxy is used: as little as possible that could be wrong itself.
"""

from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

import click

from email_processor.exit_codes import EXIT_FAILED
from email_processor.http_address import http_address

TIMEOUT_SECONDS = 3.0
# An address that means all of this host's own, and the one of them that can be asked: `::` answers on IPv4 too.
LOOPBACK = dict.fromkeys(("0.0.0.0", "::"), "127.0.0.1")  # noqa: S104 - listening everywhere includes here


def healthcheck(environment: Mapping[str, str], path: str) -> int:
    """Print what `path` answers at the address that `environment` sets; the exit code is 0 if that is 200."""
    try:
        host, port = http_address(environment)
    except ValueError as error:
        click.echo(f"There is no address to ask: {error}. Correct it, and start the service again.", err=True)
        return EXIT_FAILED
    try:
        connection = HTTPConnection(LOOPBACK.get(host, host), port, timeout=TIMEOUT_SECONDS)
        connection.request("GET", path)
        answer = connection.getresponse()
        click.echo(answer.read().decode(errors="replace"))
    except (HTTPException, OSError, ValueError) as error:
        click.echo(f"No answer on port {port}: {error}", err=True)
        return EXIT_FAILED
    return 0 if answer.status == HTTPStatus.OK else EXIT_FAILED
