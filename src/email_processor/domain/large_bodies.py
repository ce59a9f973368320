"""Large bodies, without a copy as text: there one character beyond the usual makes each take four bytes."""

import codecs
import re
from collections.abc import Iterator

import orjson

LONG_STRING = 4096  # bytes of a string in JSON that is not needed to see what the JSON is
STAND_IN = "\N{NULL}"  # for each of them
CHUNK_BYTES = 64 * 1024

_UP_TO_A_LONG_STRING = re.compile(  # or one with escapes, which is looked at more closely
    rb'(?P<rest>(?:[^"]++|"[^"\\]{0,%d}+")*+)' % LONG_STRING
    + rb'(?P<string>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"|\Z)'
)
_STAND_IN = orjson.dumps(STAND_IN)


def without_long_strings(body: bytes) -> bytes | None:
    """JSON with a stand-in for each of its long strings, all of which are valid; None if one is not.

    What else there is in `body` is left as it is, valid or not.
    """
    if not is_utf8(body):
        return None
    parts: list[bytes] = []
    end = 0
    while end < len(body):
        found = _UP_TO_A_LONG_STRING.match(body, end)
        if found is None:
            return None
        is_long = found.end("string") - found.start("string") > LONG_STRING
        parts += (found["rest"], _STAND_IN if is_long else found["string"] or b"")
        end = found.end()
    return b"".join(parts)


def is_utf8(body: bytes) -> bool:
    """Whether it is UTF-8."""
    try:
        for _ in _pieces(body):
            pass
    except UnicodeDecodeError:
        return False
    return True


def json_string(text: bytes) -> bytes:
    """UTF-8 as a JSON string, with its quotes.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    return b'"%s"' % b"".join(orjson.dumps(piece)[1:-1] for piece in _pieces(text))


def _pieces(text: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(text), CHUNK_BYTES):
        yield decoder.decode(text[start : start + CHUNK_BYTES])
    yield decoder.decode(b"", final=True)
