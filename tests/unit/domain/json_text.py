"""JSON as senders write it, not as a library would: any spacing, escapes, digits, duplicate keys and key order."""

import json
import re

from hypothesis import strategies as st

from email_processor.domain.email import FIELDS

SPACES = st.text(" \t\r\n", max_size=3)
PLAIN = st.characters(exclude_categories=["Cs"], exclude_characters='"\\').filter(lambda character: character >= " ")
ESCAPES = st.sampled_from(
    ["\\n", "\\/", '\\"', "\\\\", "\\u0000", "\\u00e9", "\\u202E", "\\ud83d\\ude00", "\\ud800", "\\uDFFF"]
)
STRINGS = st.lists(PLAIN | ESCAPES, max_size=12).map(lambda parts: f'"{"".join(parts)}"')
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True).filter(
    str.isascii
)


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.tuples(STRINGS, values), max_size=4)  # the same name may come twice
    return members.map(lambda found: f"{{{','.join(f'{name}:{value}' for name, value in found)}}}")


VALUES = st.recursive(
    st.sampled_from(["null", "true", "false", "[]", "{}"]) | NUMBERS | STRINGS,
    lambda values: st.lists(values, max_size=4).map(lambda items: f"[{','.join(items)}]") | _objects(values),
    max_leaves=8,
)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')
FIELD_NAMES = frozenset(FIELDS)


@st.composite
def emails(draw: st.DrawFn) -> str:
    """A body that can be archived: the four fields in any order among any others."""
    members = [(json.dumps(name), draw(STRINGS)) for name in FIELDS if name != "email_timestream"]
    members.append(('"email_timestream"', draw(STRINGS | NUMBERS)))
    extra_names = STRINGS.filter(lambda name: json.loads(name) not in FIELD_NAMES)
    members += draw(st.lists(st.tuples(extra_names, VALUES), max_size=4))
    ordered = draw(st.permutations(members))
    written = (f"{draw(SPACES)}{name}{draw(SPACES)}:{draw(SPACES)}{value}{draw(SPACES)}" for name, value in ordered)
    return f"{draw(SPACES)}{{{','.join(written)}}}{draw(SPACES)}"


def tokens(text: str) -> list[str]:
    """The tokens of a JSON text, as they are written, without the white space between them."""
    return TOKEN.findall(text)


def in_one_line(text: str) -> str:
    """A JSON text without white space around it, and with a space for each of its line breaks."""
    return " ".join(re.split("\r\n|\n|\r", text.strip(" \t\r\n")))
