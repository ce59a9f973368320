"""Waiting for a condition, with an end."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, *, within: float = 15.0, every: float = 0.1) -> T:
    """The first true value of `condition`, asked again and again; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {within:g} s: {what}. Last seen: {value!r}")
        time.sleep(every)
