"""Where the service answers: the health check reads it as the service does."""

import os

import pytest
from pydantic import ValidationError

from email_processor.http_address import http_address
from email_processor.settings import Settings

HOSTS = ("", " ", "\n", "127.0.0.1\n", " localhost", "::1", "0.0.0.0", "\u00a0::\x1f", "\x1f")
PORTS = (
    *("", " ", "0", "8081", "08081", "18081\n", " 18081 ", "65535", "65536", "-1", "+8080", "8081.0", "1_0", "1e3"),
    *("http", "0x10", "\u0661\u0662", "\u00b2", "9" * 5000),
)
VARIABLES = [
    {},
    *({"HTTP_HOST": host} for host in HOSTS),
    *({"HTTP_PORT": port} for port in PORTS),
    {"http_host": "localhost", "Http_Port": "18082"},
    {"HTTP_PORT": "", "http_port": "18082"},
    {"HTTP_PORT": "18081", "http_port": ""},
    {"HTTP_PORT": "18081", "http_port": "18082"},
    {"http_port": "18082", "HTTP_PORT": "18081"},
]


def as_the_service() -> tuple[str, int] | str:
    """Host and port, or which of them is wrong."""
    try:
        settings = Settings(sqs_queue_url="http://127.0.0.1:1/1/q", s3_bucket_name="archive")
    except ValidationError as error:
        return str(error.errors()[0]["loc"][0]).upper()
    return settings.http_host, settings.http_port


def as_the_health_check() -> tuple[str, int] | str:
    """The same of the health check."""
    try:
        return http_address(os.environ)
    except ValueError as error:
        return str(error).partition(" ")[0]


@pytest.mark.parametrize("variables", VARIABLES, ids=ascii)
def test_the_health_check_asks_where_the_service_listens(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the variables are: else a healthy container would be said to be unhealthy."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert as_the_service() == as_the_health_check()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("::", 8080)),
        ({"HTTP_HOST": "127.0.0.1\n", "http_port": " 18081 "}, ("127.0.0.1", 18081)),
        ({"HTTP_HOST": "", "HTTP_PORT": ""}, ("::", 8080)),
    ],
    ids=ascii,
)
def test_an_address_is_taken_for_what_it_means(variables: dict[str, str], expected: tuple[str, int]) -> None:
    """White space at an end, names in any case, and nothing for the default."""
    assert expected == http_address(variables)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HTTP_HOST": " "}, "HTTP_HOST must be an address or a name of this host; it is ' '"),
        ({"HTTP_PORT": "18081.0"}, "HTTP_PORT must be a whole number from 0 to 65535; it is '18081.0'"),
    ],
    ids=ascii,
)
def test_what_is_no_address_is_named(variables: dict[str, str], said: str) -> None:
    """With what it must be, and what it is."""
    with pytest.raises(ValueError, match="must be") as caught:
        http_address(variables)
    assert said == str(caught.value)
