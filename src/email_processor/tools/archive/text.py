"""What a sender chose, made safe to be printed: the one place where it enters what a terminal shows."""

import re

import click

# Controls but newline and tab (ESC, with which sequences begin, DEL and C1 among them), what turns the direction of
# writing (CVE-2021-25743), line separators that a terminal may take for one, and halves of surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BREAKS = re.compile(r"[\n\t]")


def printable(text: str) -> str:
    """Text for a terminal: what could steer it, or deceive its reader, is written as an escape."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """The same, in one line."""
    return _BREAKS.sub(" ", printable(text))


def say(text: str) -> None:
    """Tell a person, who may look at a terminal, what is not a result."""
    click.echo(printable(text), err=True)


def _escape(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()
