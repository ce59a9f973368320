"""JSON that commands print, write and read again, whatever text is in it.

A sender may have cut an emoji into halves, and an argument may have bytes that are no UTF-8: Python has both as lone
surrogates, which orjson refuses.
"""

import json
from typing import Any

import orjson


def json_bytes(value: Any, *, is_indented: bool = False, end: str = "\n") -> bytes:  # noqa: ANN401 - whatever JSON has
    """A value as JSON; a lone surrogate is an escape in it, so that it stays what it was."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if is_indented else None) + end.encode()
    except TypeError:
        indent, separators = (2, (",", ": ")) if is_indented else (None, (",", ":"))
        return (json.dumps(value, indent=indent, separators=separators) + end).encode()


def json_value(text: bytes) -> Any:  # noqa: ANN401 - whatever JSON has
    """The value that `json_bytes` was given.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
