"""A sender's folder: the one segment of a key that comes from outside.

Senders come as people and programs write them, which is often not as RFC 5322 has it. So this looks for the first
address, whatever stands around it, and fails on nothing. The standard library does not serve: `email.utils` and
`email.headerregistry` stop at the first thing that they do not expect, and the second is too slow for every message;
`email.header.decode_header` takes quadratic time, and raises on a broken word.
"""

import binascii
import re
import unicodedata
from collections.abc import Iterator
from itertools import chain, groupby, islice, takewhile

FOLDER_MAX_CHARACTERS = 64
FOLDER_MAX_BYTES = 240  # of UTF-8: a file's name may have 255, and programs that copy a bucket add to it
UNKNOWN = "unknown"

# An address may stand behind a name of any length, but only behind so many tokens: each is a step in Python.
TOKENS_MAX = 1_000
# So much is taken of what was found, which is enough for a folder in any encoding: normalising takes quadratic time.
NAME_MAX_CHARACTERS = 256
ENCODED_MAX_CHARACTERS = 2_000

NESTED_COMMENTS_MAX = 3

# Python would look for a module of any other name, and remember for ever that there is none.
CHARSETS = frozenset(
    [
        *("us-ascii", "utf-7", "utf-8", "utf-16", "latin1", "macintosh", "koi8-r", "koi8-u", "tis-620"),
        *("big5", "gb2312", "gbk", "gb18030", "hz-gb-2312", "shift_jis", "euc-jp", "euc-kr", "ks_c_5601-1987"),
        *("iso-2022-jp", "iso-2022-kr", "cp866", "cp874", "cp932", "cp949"),
        *(f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))),  # there is no part 12
        *(f"{name}{page}" for page in range(1250, 1259) for name in ("cp", "windows-")),
    ]
)

# No repetition in these gives back what it took (`++`, `*+`), so that none takes quadratic time.
_ORDINARY = re.compile(
    r"""
    (?: (?: "[^"\\]*+" \s*+ )?+ [^@<>()"\\]*+ < )?+ (?P<address> [^\s@<>,;:()"\\=]++ ) @ [^\s@<>,;:()"\\=]++ >?+
    | (?P<name> [^@<>,;:()"\\=]++ )
    """,
    re.VERBOSE,
)
_ENCODED_WORD = r"=\?[^?\s]++\?[bBqQ]\?[^?]*+\?="
_ENCODED_WORDS = rf"{_ENCODED_WORD}(?:\s*+{_ENCODED_WORD})*+"
_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_COMMENT = r"\((?:[^()\\]++|\\.)*+\)"
for _ in range(NESTED_COMMENTS_MAX - 1):
    _COMMENT = rf"\((?:[^()\\]++|\\.|{_COMMENT})*+\)"
_TOKENS = re.compile(
    rf"""
    (?P<comment> {_COMMENT})
    | (?P<quoted> {_QUOTED})
    | (?P<encoded> {_ENCODED_WORDS})
    | (?P<text> (?: [^@<>,;:()"\\=]++ | \\[\\"()]?+ | (?!{_ENCODED_WORD})= )++)
    | (?P<separator> [,;])
    | (?P<sign> .)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_RUN_OF_ENCODED_WORDS = re.compile(_ENCODED_WORDS)
# The charset without the language that may follow it, the encoding, and what is encoded.
_PARTS_OF_ENCODED_WORD = re.compile(r"=\?([^?*\s]*+)[^?\s]*+\?([bBqQ])\?([^?]*+)\?=")

# What most names are as they stand.
_FOLDER = re.compile(rf"[a-z0-9-](?:[a-z0-9._-]{{0,{FOLDER_MAX_CHARACTERS - 2}}}[a-z0-9-])?")
_OTHERS = re.compile(r"[^\w.\-]+")  # \w: letters and digits of any script, and _


def sender_folder(sender: str) -> str:
    """The sender as one segment of a key.

    It is the local part of the first address or, where there is none, the display name, in lower case and NFC: letters
    with their marks, digits of any script and `.`, `-`, `_` stay, every other run of characters is one `_`. No `.` or
    `_` leads or trails; it has at most 64 characters and 240 bytes of UTF-8, and is `unknown` if nothing is left.
    """
    ordinary = _ORDINARY.fullmatch(sender)
    if ordinary:  # nearly all are, and this is the quicker way
        folder = _folder(ordinary["address"] or ordinary["name"])
        if folder:
            return folder
    folders = (_folder(_decoded(name)) for name in _names(sender))
    return next(filter(None, folders), UNKNOWN)


def _names(sender: str) -> Iterator[str]:
    """All that could name the folder, the best first."""
    mailboxes = []
    for mailbox in _mailboxes(sender):
        yield from mailbox.local_parts()
        mailboxes.append(mailbox)
    display_name = " ".join(chain.from_iterable(mailbox.words for mailbox in mailboxes))
    for mailbox in _mailboxes(_decoded(display_name)):  # some put the whole address into quotes or an encoded word
        yield from mailbox.local_parts()
    for mailbox in mailboxes:
        yield from mailbox.domainless
    yield display_name


def _mailboxes(sender: str) -> Iterator["_Mailbox"]:
    mailbox = _Mailbox()
    for token in islice(_TOKENS.finditer(sender), TOKENS_MAX):
        if token.lastgroup == "separator":
            yield mailbox
            mailbox = _Mailbox()
        else:
            mailbox.read(token.lastgroup, token[0])
    yield mailbox


class _Mailbox:
    """One of the mailboxes of a sender, read token by token.

    `words` is all that stands outside of `<>` and is no domain, comments included; `domainless` is what stands in `<>`
    and is no address.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self.domainless: list[str] = []
        self._in_brackets: list[str] = []  # local parts
        self._elsewhere: list[str] = []  # local parts
        self._before = ""  # what an @ would make a local part
        self._is_in_brackets = False
        self._is_in_domain = False

    def local_parts(self) -> Iterator[str]:
        """Those of its addresses: what stands in `<>` is one before what stands elsewhere, as in a name."""
        return chain(self._in_brackets, self._elsewhere)

    def read(self, kind: str | None, token: str) -> None:
        """Take one more token."""
        match kind:
            case "text":
                self._text(token)
            case "sign":
                self._sign(token)
            case "comment":
                self.words.append(token)  # in its parentheses, so that it is none of the addresses ever
            case "quoted":
                self._word(_ESCAPE.sub(r"\1", token[1:-1]))
            case _:
                self._word(token)

    def _text(self, text: str) -> None:
        if text.isspace():
            return
        if self._is_in_domain:
            self._is_in_domain = False
            text = "".join(text.split(maxsplit=1)[1:])
        if self._is_in_brackets:
            self._word(text)
        elif text:
            self.words.append(text)
            self._before = text.rsplit(maxsplit=1)[-1]

    def _word(self, word: str) -> None:
        if self._is_in_brackets:
            self._before = (self._before + word)[:ENCODED_MAX_CHARACTERS]
        else:
            self.words.append(word)
            self._before = word

    def _sign(self, sign: str) -> None:
        match sign:
            case "@":
                (self._in_brackets if self._is_in_brackets else self._elsewhere).append(self._before)
            case "<":
                self._is_in_brackets = True
            case ">":
                if self._is_in_brackets:
                    self.domainless.append(self._before)
                self._is_in_brackets = False
            case ":":
                pass  # it ends the name of a group, a route or `mailto`
            case _:
                return  # one of a pair without the other
        self._before = ""
        self._is_in_domain = sign == "@"


def _folder(name: str) -> str:
    """What of a name may stand in a key; empty if nothing is left."""
    if _FOLDER.fullmatch(name):
        return name
    name = name.strip()[:NAME_MAX_CHARACTERS].lower()
    if name.isascii():
        return _OTHERS.sub("_", name).strip("._")[:FOLDER_MAX_CHARACTERS].rstrip("._")
    name = _OTHERS.sub(_instead_of_others, unicodedata.normalize("NFC", name)).strip("._")[:FOLDER_MAX_CHARACTERS]
    return name.encode()[:FOLDER_MAX_BYTES].decode(errors="ignore").rstrip("._")


def _instead_of_others(run: re.Match[str]) -> str:
    """A letter's marks (vowel signs, tone marks, accents) stay with it; others, as those of an emoji, do not."""
    others, start = run[0], run.start()
    if others.isascii() or not run.string[:start][-1:].isalpha():
        return "_"
    marks = "".join(takewhile(_is_mark, others))
    return marks if marks == others else f"{marks}_"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _decoded(text: str) -> str:
    """Without encoded words (RFC 2047): `=?UTF-8?Q?J=C3=B6rg?=` is `Jörg`."""
    text = text.strip()[:ENCODED_MAX_CHARACTERS]
    return _RUN_OF_ENCODED_WORDS.sub(_decoded_run, text) if "=?" in text else text


def _decoded_run(run: re.Match[str]) -> str:
    """Words of one charset are decoded together: some programs cut between them in the middle of a character."""
    words: list[tuple[str, str, str]] = _PARTS_OF_ENCODED_WORD.findall(run[0])
    text = ""
    for charset, same in groupby(words, key=lambda word: word[0].lower()):
        octets = b"".join(_octets(encoding, encoded) for _, encoding, encoded in same)
        text += octets.decode(charset if charset in CHARSETS else "utf-8", "replace")
    return text


def _octets(encoding: str, encoded: str) -> bytes:
    octets = encoded.encode(errors="replace")
    if encoding in "qQ":
        return binascii.a2b_qp(octets, header=True)
    try:
        return binascii.a2b_base64(octets + b"==")
    except binascii.Error:  # a character too many
        return b""
