"""A sender's folder: the first address in whatever a sender writes, and no more than a key can bear."""

import inspect
import sys
import unicodedata
from collections.abc import Callable
from email.headerregistry import HeaderRegistry
from email.utils import getaddresses
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from email_processor.domain.sender import (
    CHARSETS,
    FOLDER_MAX_BYTES,
    FOLDER_MAX_CHARACTERS,
    NESTED_COMMENTS_MAX,
    TOKENS_MAX,
    UNKNOWN,
    sender_folder,
)
from tests.unit.domain.senders import ANY_CHARACTER, SENDERS

if TYPE_CHECKING:
    from _typeshed import TraceFunction

MEBIBYTE = 1024 * 1024
STEPS_MAX = 100_000  # lines of Python for one sender, whatever its size

THE_THREE_FORMS = [
    ("john.doe@example.com", "john.doe"),
    ('"Doe, John" <john.doe@example.com>', "john.doe"),
    ("John Doe", "john_doe"),
]
A_MAILBOX = [
    ("John Doe <john.doe@example.com>", "john.doe"),
    ("<john.doe@example.com>", "john.doe"),
    ("  john.doe@example.com\r\n", "john.doe"),
    ("John Doe < john.doe@example.com >", "john.doe"),
    ('"Doe <boss>, John" <john.doe@example.com>', "john.doe"),
    ('"Doe \\"JD\\" John" <john.doe@example.com>', "john.doe"),
    ('John "<JD>" Doe <john.doe@example.com>', "john.doe"),
    ("John <JD> Doe <john.doe@example.com>", "john.doe"),
    ("sales@example.com <john.doe@example.com>", "john.doe"),
    ("=?UTF-8?Q?J=C3=B6rg?= <joerg@example.com>", "joerg"),
    ('"anna@example.com" <ben@example.com>', "ben"),
    ("=?UTF-8?Q?<anna@example.com>?= <ben@example.com>", "ben"),
    ("john+tag@example.com", "john_tag"),
    ("o'brien@example.com", "o_brien"),
    ("Anna <anna>", "anna"),
    ("Anna @ Work <anna@example.com>", "anna"),
]
A_LIST = [
    ('"Anna Example", anna@example.com', "anna"),
    ("Doe, John <john.doe@example.com>", "john.doe"),
    ("Anna <anna@example.com>, Ben <ben@example.com>", "anna"),
    ("anna@example.com, Ben <ben@example.com>", "anna"),
    ("anna@example.com; ben@example.com", "anna"),
    ("Anna <>, Ben <ben@example.com>", "ben"),
    ("Anna <anna>, Ben <ben@example.com>", "ben"),
    (", ,anna@example.com", "anna"),
    ("a  ,,  b@example.com", "b"),
]
A_GROUP = [
    ("Sales: anna@example.com;", "anna"),
    ("Sales: anna@example.com", "anna"),
    ("Sales:anna@example.com,ben@example.com;", "anna"),
    ("A Group:Ed Jones <ed@example.com>,joe@example.org,John <john@example.net>;", "ed"),
    ("Undisclosed recipients:;", "undisclosed_recipients"),
    ("s3://bucket/key@example.com", "bucket_key"),
    ("john\r\nX-Header: 1@example.com", "1"),
]
A_MAILTO = [
    ("mailto:anna@example.com", "anna"),
    ("MAILTO:anna@example.com?subject=hello", "anna"),
    ('"Anna" <mailto:anna@example.com>', "anna"),
    ("Anna [mailto:anna@example.com]", "anna"),
    ("anna@example.com <mailto:ben@example.com>", "ben"),
]
COMMENTS_ARE_NOT_ADDRESSES = [
    ("(Anna) anna@example.com", "anna"),
    ("john.doe@example.com (John Doe)", "john.doe"),
    ("Anna <anna(work)@example.com>", "anna"),
    ("anna(work)@example.com", "anna"),
    ("anna@example.com (via list <list@example.org>)", "anna"),
    ("Anna <anna@example.com> (on behalf of <ben@example.com>)", "anna"),
    ("(list@example.org) Anna <anna@example.com>", "anna"),
    ("(list@example.org (its owner, <ben@example.org>)) anna@example.com", "anna"),
    ('(an open " quote) anna@example.com', "anna"),
    ("(an open \\) parenthesis <ben@example.com>) anna@example.com", "anna"),
    ("(" * NESTED_COMMENTS_MAX + "ben@example.com" + ")" * NESTED_COMMENTS_MAX + " anna@example.com", "anna"),
    ("John (Sales)", "john_sales"),
    ("(anna@example.com)", "anna_example.com"),
    ("Anna (anna@example.com)", "anna_anna_example.com"),
]
AN_ADDRESS_THAT_IS_NONE = [
    ("John Doe <>", "john_doe"),
    ('"Doe, John" <>', "doe_john"),
    ("John Doe <@example.com>", "john_doe"),
    ('"Anna Example" <""@example.com>', "anna_example"),
    ("Anna Example <🎉@example.com>", "anna_example"),
    ("@example.com", "unknown"),
    ("Anna Example @example.com", "example"),
    ("@example.com Anna Example", "anna_example"),
    ("@ example.com (Anna)", "anna"),
    ('""@example.com', "unknown"),
    ('".."@example.com', "unknown"),
    ("!!!@example.com", "unknown"),
    ("🎉@example.com, anna@example.com", "anna"),
    ("<🎉@example.com> <anna@example.com>", "anna"),
]
A_ROUTE = [
    ("<@a.example,@b.example:anna@example.com>", "anna"),
    ("Anna Example <@a.example:anna@example.com>", "anna"),
]
QUOTES = [
    ('"Doe, John"', "doe_john"),
    ('"J\\ohn \\"JD\\""', "john_jd"),
    ('"john doe"@example.com', "john_doe"),
    ('"john@home"@example.com', "john_home"),
    ('"john\\"s"@example.com', "john_s"),
    ('"John" <"john@home"@example.com>', "john_home"),
    ('John <john."the doe"@example.com>', "john.the_doe"),
    ('"anna@example.com"', "anna"),
    ("'anna@example.com'", "anna"),
    ('"Anna <anna@example.com>"', "anna"),
]
WHAT_IS_NOT_CLOSED = [
    ("Anna Example <anna@example.com", "anna"),
    ("John <john.doe@example.com", "john.doe"),
    ("john.doe@example.com>", "john.doe"),
    ('"John <john.doe@example.com>', "john.doe"),
    ("Anna (work <anna@example.com>", "anna"),
    ("Anna) <anna@example.com>", "anna"),
    ("Anna <<anna@example.com>>", "anna"),
    ("John Doe> <", "john_doe"),
]
A_NAME_BEFORE_AN_ADDRESS = [
    ("Anna Example anna@example.com", "anna"),
    ("Anna Example [anna@example.com]", "anna"),
    ("Anna E. anna@example.com", "anna"),
    ("anna @ example.com", "anna"),
    ("<john doe@example.com>", "john_doe"),
    ("a" * 1_100 + " <anna@example.com>", "anna"),
    ("a " * 550 + "<anna@example.com>", "anna"),
    ('"' + "a" * 1_100 + '" anna@example.com', "anna"),
]
ENCODED_WORDS = [
    ("=?UTF-8?B?QW5uYQ==?= <>", "anna"),
    ("=?UTF-8?B?QW5uYQ==?=", "anna"),
    ("=?UTF-8?Q?J=C3=B6rg?=", "jörg"),
    ("=?iso-8859-1?q?J=F6rg_Example?=", "jörg_example"),
    ("=?UTF-8*en?Q?Anna?=", "anna"),
    ("=?UTF-8?Q?Anna?= Example", "anna_example"),
    ("=?UTF-8?Q?Ann?=\r\n =?UTF-8?Q?a?=", "anna"),
    ("=?UTF-8?Q?J=C3?= =?utf-8?B?tnJn?=", "jörg"),
    ("=?UTF-8?Q?Anna?= =?ISO-8859-1?Q?=E4?=", "annaä"),
    ('"=?UTF-8?Q?Anna?="', "anna"),
    ("=?UTF-8?Q?Example,_Anna?= <>", "example_anna"),
    ("=?UTF-8?Q?anna=40example.com?=", "anna"),
    ("=?UTF-8?Q?anna@example.com?=", "anna"),
    ("=?UTF-8?Q?anna?=@example.com", "anna"),
    ("=?UTF-8?B?QW5uYSA8YW5uYUBleGFtcGxlLmNvbT4=?=", "anna"),
    ("=?UTF-8?B?QW5uYQ?=", "anna"),
    ("=?UTF-8?B?Q?= Anna", "anna"),
    ("=?no-such-charset?Q?Anna?=", "anna"),
    ("=?UTF-8?Q?J=FFrg?=", "j_rg"),
    ("=?UTF-8?Q?Jörg?=", "jörg"),
    ("=?UTF-8?X?Anna?=", "utf-8_x_anna"),
    ("=?UTF-8?Q?Anna", "utf-8_q_anna"),
    ("bounce=anna=example.com@example.org", "bounce_anna_example.com"),
]
SCRIPTS = [
    ("JOHN.DOE@EXAMPLE.COM", "john.doe"),
    ("JO\u0308RG@example.com", "jörg"),
    ("STRAẞE@example.com", "straße"),
    ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
    ("Åsa", "åsa"),
    ("李雷@example.com", "李雷"),
    ("Иван Петров", "иван_петров"),
    ("محمد@example.com", "محمد"),
    ("user२३@example.com", "user२३"),
    # marks belong to letters
    ("राजेश@example.com", "राजेश"),
    ("सीमा", "सीमा"),
    ("सोमा", "सोमा"),
    ("सुमा", "सुमा"),
    ("สมชาย ใจดี", "สมชาย_ใจดี"),
    ("Ọ̀ṣun", "ọ̀ṣun"),
    # and to nothing else
    ("\u0301", "unknown"),
    ("a.\u0301b", "a._b"),
    ("❤\ufe0f Anna ✌\ufe0f", "anna"),
    ("Room 1\ufe0f\u20e3", "room_1"),
    ("राज\u200dेश", "राज_श"),
    ("👍 Great Deals 👍", "great_deals"),
]
WHAT_MUST_NOT_REACH_A_KEY = [
    ("../../etc/passwd@example.com", "etc_passwd"),
    ("..\\..\\windows@example.com", "windows"),
    ("%2e%2e%2fsecret@example.com", "2e_2e_2fsecret"),
    ("a/b/c@example.com", "a_b_c"),
    ("\u202egpj.exe@example.com", "gpj.exe"),
    ("jo\u200bhn@example.com", "jo_hn"),
    ("john\0doe@example.com", "john_doe"),
    ("john\x1b[2J@example.com", "john_2j"),
    ("john\ud800doe@example.com", "john_doe"),
    ("/O=EXAMPLE/OU=SALES/CN=ANNA", "o_example_ou_sales_cn_anna"),
]
RUNS_AND_EDGES = [
    ("a  !!  b", "a_b"),
    ("a!#$%&b@example.com", "a_b"),
    ("a..b__c--d@example.com", "a..b__c--d"),
    ("._john_.@example.com", "john"),
    ("-john-@example.com", "-john-"),
]
NOTHING = [(sender, UNKNOWN) for sender in ("", "   ", ".", "..", "<>", '""', "@", "()", ",;:", "=??=", "=?x?q??=")]
LENGTHS = [
    ("a" * 65 + "@example.com", "a" * 64),
    ("a" * 63 + "..b@example.com", "a" * 63),
    ("\U00010428" * 64, "\U00010428" * 60),
    ("é" * 64, "é" * 64),
    ("a" + "\U00010428" * 63, "a" + "\U00010428" * 59),
    ("क" * 64 + "@example.com", "क" * 64),
    ("=?UTF-8?Q?" + "=F0=90=90=A8" * 64 + "?=", "\U00010428" * 60),
]


@pytest.mark.parametrize(
    ("sender", "folder"),
    [
        *THE_THREE_FORMS,
        *A_MAILBOX,
        *A_LIST,
        *A_GROUP,
        *A_MAILTO,
        *COMMENTS_ARE_NOT_ADDRESSES,
        *AN_ADDRESS_THAT_IS_NONE,
        *A_ROUTE,
        *QUOTES,
        *WHAT_IS_NOT_CLOSED,
        *A_NAME_BEFORE_AN_ADDRESS,
        *ENCODED_WORDS,
        *SCRIPTS,
        *WHAT_MUST_NOT_REACH_A_KEY,
        *RUNS_AND_EDGES,
        *NOTHING,
        *LENGTHS,
    ],
)
def test_a_sender_has_a_folder(sender: str, folder: str) -> None:
    """The local part of the first address, or the display name: lower case, NFC, letters with marks, digits, `.-_`."""
    assert folder == sender_folder(sender)


@given(SENDERS)
def test_a_folder_holds_letters_marks_digits_and_three_signs(sender: str) -> None:
    """Nothing else is left of a sender, 64 characters and 240 bytes at most, and never a `.` or `_` at either end."""
    folder = sender_folder(sender)
    others = {
        character for character in folder if not (character.isalnum() or unicodedata.category(character)[0] == "M")
    }
    assert others <= set("._-")
    assert 1 <= len(folder) <= FOLDER_MAX_CHARACTERS
    assert len(folder.encode()) <= FOLDER_MAX_BYTES
    assert folder == folder.strip("._")


@given(SENDERS)
def test_a_mark_stands_behind_its_letter(sender: str) -> None:
    """A folder never begins with a mark, nor has one behind a sign or a digit."""
    folder = sender_folder(sender)
    behind = [folder[:at][-1:] for at, mark in enumerate(folder) if unicodedata.category(mark)[0] == "M"]
    assert [] == [before for before in behind if not before.isalpha() and unicodedata.category(before or " ")[0] != "M"]


@given(SENDERS)
def test_a_folder_is_lower_case_and_composed(sender: str) -> None:
    """Two spellings of one name, in case or in Unicode composition, give one folder."""
    folder = sender_folder(sender)
    assert folder == unicodedata.normalize("NFC", folder.lower())


@given(SENDERS)
def test_the_folder_of_a_folder_is_itself(sender: str) -> None:
    """What stands in a key can be used as a sender to find it again."""
    folder = sender_folder(sender)
    assert folder == sender_folder(folder)


@given(st.text(st.sampled_from("aäÖß9-"), min_size=1, max_size=20), st.text(ANY_CHARACTER, max_size=50))
def test_what_follows_the_at_sign_does_not_matter(local: str, domain: str) -> None:
    """All addresses with one local part share a folder, whatever stands in place of their domain."""
    without_brackets = domain.replace("<", "")
    assert sender_folder(local) == sender_folder(f"{local}@{without_brackets}")


@pytest.mark.parametrize("charset", sorted(CHARSETS))
def test_every_charset_that_is_known_can_be_decoded(charset: str) -> None:
    """Whatever the Python, its name is one that Python knows, and bytes that are wrong in it raise nothing."""
    assert "" == b"".decode(charset)
    assert sender_folder(f"=?{charset}?Q?=FF=FE=80=1B$B?= Anna").endswith("anna")


# Well-formed senders, with the local part of their first address.

LOCAL_PARTS = st.from_regex(r"[a-zA-Z0-9]{1,6}([.+_'-][a-zA-Z0-9]{1,6}){0,2}", fullmatch=True) | st.sampled_from(
    ['"john doe"', '"john@home"', '"<john>"', '"john, (doe)"', '"j\\"d"']
)
DOMAINS = st.sampled_from(["example.com", "mail.example.org", "localhost", "bücher.example"])
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\()'), max_size=20)
COMMENTS = st.recursive(
    TEXTS.filter(lambda text: "=?" not in text).map("({})".format) | st.sampled_from(['(")', "(\\))", "(<a@b>)"]),
    lambda inner: inner.map("(x {} y)".format),
    max_leaves=2,
)
DISPLAY_NAMES = (
    TEXTS.map('"{}"'.format)
    | st.from_regex(r"[A-Z][a-zé]{0,5}( [A-Z]\.)?( [A-Z][a-zü]{0,5}){0,2}", fullmatch=True)
    | st.sampled_from(["=?UTF-8?Q?J=C3=B6rg?=", "=?UTF-8?B?QW5uYQ==?= Example", '"J\\"D\\""'])
)


def between(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A space, or that with spaces around it."""
    return st.just(" ") | text.map(" {} ".format)


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[str, str]:
    """A sender as RFC 5322 has it, and the local part of its first address."""
    local_parts = draw(st.lists(LOCAL_PARTS, min_size=1, max_size=3))
    mailboxes = []
    for local_part in local_parts:
        address = f"{local_part}@{draw(DOMAINS)}"
        named = f"{draw(DISPLAY_NAMES)}{draw(between(COMMENTS))}<{address}>"
        mailboxes.append(draw(between(COMMENTS)) + draw(st.sampled_from([address, f"<{address}>", named])))
    sender = ",".join(mailboxes) + draw(between(COMMENTS))
    return (f"Sales:{sender};" if draw(st.booleans()) else sender), local_parts[0]


def folder_of(local_part: str) -> str:
    """The folder of a local part that somebody else has found."""
    escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return sender_folder(f'"{escaped}"@example.com')


def opinion_of_utils(sender: str) -> str:
    """The folder by `email.utils`: that of the first address with a local part."""
    lenient = {"strict": False} if "strict" in inspect.signature(getaddresses).parameters else {}
    local_parts = [address.rpartition("@")[0].strip('"') for _, address in getaddresses([sender], **lenient)]
    return next((folder_of(local_part) for local_part in local_parts if local_part), UNKNOWN)


def opinion_of_headerregistry(sender: str) -> str:
    """The folder by `email.headerregistry`: that of the first address with a local part and a domain."""
    addresses = HeaderRegistry()("from", sender).addresses  # type: ignore[attr-defined]  # its class depends on the name
    return next((folder_of(each.username) for each in addresses if each.username and each.domain), UNKNOWN)


@given(well_formed())
@example(("Sales: (all (of @ them)) Anna E. Example (<x@y>) <anna@example.com>, ben@example.com;", "anna"))
def test_of_what_is_well_formed_all_readers_think_the_same(written: tuple[str, str]) -> None:
    """Names, comments, quotes, lists and groups as the RFC has them: the two libraries find the same local part."""
    sender, local_part = written
    expected = sender_folder(f"{local_part}@example.com")
    assert expected == sender_folder(sender)
    assert expected == opinion_of_utils(sender)
    assert expected == opinion_of_headerregistry(sender)


@pytest.mark.parametrize(
    ("sender", "folder", "of_utils", "of_headerregistry"),
    [
        # `mailto:` is no part of an address
        ('"Anna" <mailto:anna@example.com>', "anna", "anna", UNKNOWN),
        ("Anna [mailto:anna@example.com]", "anna", "anna", UNKNOWN),
        # a local part has no spaces: what stands before it is a name, in whatever brackets there are or without
        ("Anna Example anna@example.com", "anna", "anna_example_anna", "anna_example_anna"),
        ("Anna Example [anna@example.com]", "anna", UNKNOWN, UNKNOWN),
        # somebody has put the whole address into quotes, or encoded it
        ('"anna@example.com"', "anna", "anna", UNKNOWN),
        ("=?UTF-8?Q?anna=40example.com?=", "anna", UNKNOWN, UNKNOWN),
        # an address for a name: the one in brackets is the address, as every mail program shows it
        ("list@example.org <anna@example.com>", "anna", "list", "list"),
        # something is left open or closed once too often: the address is there all the same
        ('"Anna <anna@example.com>', "anna", "anna_anna", UNKNOWN),
        ("Anna (work <anna@example.com>", "anna", UNKNOWN, UNKNOWN),
        ("Anna) <anna@example.com>", "anna", "anna", UNKNOWN),
        ("Anna <<anna@example.com>>", "anna", "anna", UNKNOWN),
        # an @ too many: the first one ends the local part
        ("anna@example.com@example.org", "anna", UNKNOWN, UNKNOWN),
        # an address of nothing names nobody, the name does
        ("Anna Example <🎉@example.com>", "anna_example", UNKNOWN, UNKNOWN),
        # here they are right: until 2001 there could be spaces around the dots of a local part; now they end an initial
        ("anna . example@example.com", "example", "anna.example", "anna.example"),
    ],
)
def test_of_what_is_not_well_formed_ours_makes_the_most(
    sender: str, folder: str, of_utils: str, of_headerregistry: str
) -> None:
    """Where the readers differ, ours finds the person; the others may learn it as well."""
    assert folder == sender_folder(sender)
    assert opinion_of_utils(sender) in {of_utils, folder}
    assert opinion_of_headerregistry(sender) in {of_headerregistry, folder}


def lines_of_python(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs: a measure of its work that is the same on every machine."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> "TraceFunction":
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


NASTY = {
    "open parentheses": "(",
    "open quotes": '"',
    "open brackets": "<",
    "open encoded words": "=?",
    "almost encoded words": "=?a?q?",
    "empty encoded words": "=?a?q?b?=",
    "broken base64": "=?a?b?w?= ",
    "at signs": "@",
    "addresses of nothing": "!@,",
    "commas": ",",
    "colons": ":",
    "backslashes": "\\",
    "escaped parentheses": "(\\",
    "escaped quotes": '"\\',
    "comments": "()",
    "parentheses and text": "(a",
    "quotes and encoded words": '"=?',
    "nested comments": "((((a)b)c)d)",
    "spaces": " ",
    "words": "a ",
    "emoji": "🎉",
    "capital dotted i": "İ",
    "combining marks": "\u0301\u0316",
    "addresses of marks": "\u0301\u0316" * 200 + "@",
    "brackets of comments": "<" + "a" * 1_000 + "()",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("opening", ["", '"', "(((", "=?a?q?"])
@pytest.mark.parametrize("piece", NASTY.values(), ids=NASTY)
def test_a_mebibyte_of_anything_is_read_in_a_bounded_number_of_steps(piece: str, opening: str) -> None:
    """No sender can keep the event loop busy, nor hide in a folder of its own making."""
    sender = opening + piece * (MEBIBYTE // len(piece))
    lines = lines_of_python(lambda: sender_folder(sender))
    assert lines <= STEPS_MAX
    assert len(sender_folder(sender)) <= FOLDER_MAX_CHARACTERS


def test_an_address_is_found_behind_many_tokens() -> None:
    """Only what nobody writes by accident hides an address."""
    assert "anna" == sender_folder("<>" * (TOKENS_MAX // 2 - 2) + "<anna@example.com>")
    assert "unknown" == sender_folder("<>" * TOKENS_MAX + "<anna@example.com>")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("length", [MEBIBYTE, 2 * MEBIBYTE])
def test_a_long_name_hides_no_address(length: int) -> None:
    """It is looked for before anything is cut."""
    assert "anna" == sender_folder("a" * length + " <anna@example.com>")
    assert "anna" == sender_folder('"' + "\\a" * (length // 2) + '" <anna@example.com>')
    assert "anna" == sender_folder("(" + "a" * length + ") anna@example.com")
