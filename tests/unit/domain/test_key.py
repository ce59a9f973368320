"""Keys: the same on every redelivery, and no sender escapes its prefix."""

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from email_processor.domain.key import (
    PREFIX_MAX_BYTES,
    SENDER_MAX_CHARACTERS,
    object_key,
    quarantine_key,
    sender_slug,
)

MOMENT = datetime(2024, 12, 10, 14, 30, 22, tzinfo=UTC)
KEY_MAX_BYTES = 1024  # S3's
LONGEST_ID = 100  # SQS's, in characters
MEBIBYTE = 1024 * 1024

ANY_CHARACTER = st.characters(exclude_categories=())
ANY_TEXT = st.text(ANY_CHARACTER, max_size=200)
PIECES = st.sampled_from(
    [
        '"',
        "\\",
        "<",
        ">",
        "@",
        ",",
        "(",
        ")",
        "/",
        ".",
        "..",
        "_",
        "-",
        " ",
        "%2e",
        "\u202e",
        "\0",
        "\u0301",
        "İ",
        "Σ",
        "ﬃ",
    ]
)
SENDERS = ANY_TEXT | st.lists(PIECES | ANY_TEXT, max_size=30).map("".join)
IDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=LONGEST_ID)
MOMENTS = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("sender", "slug"),
    [
        # the three forms of a sender
        ("john.doe@example.com", "john.doe"),
        ('"Doe, John" <john.doe@example.com>', "john.doe"),
        ("John Doe", "john_doe"),
        # mailboxes as mail programs write them
        ("John Doe <john.doe@example.com>", "john.doe"),
        ("Doe, John <john.doe@example.com>", "john.doe"),
        ("<john.doe@example.com>", "john.doe"),
        ("  john.doe@example.com\r\n", "john.doe"),
        ("John Doe < john.doe@example.com >", "john.doe"),
        ('"Doe <boss>, John" <john.doe@example.com>', "john.doe"),
        ('"Doe \\"JD\\" John" <john.doe@example.com>', "john.doe"),
        ('John "<JD>" Doe <john.doe@example.com>', "john.doe"),
        ("John <JD> Doe <john.doe@example.com>", "john.doe"),
        ("sales@example.com <john.doe@example.com>", "john.doe"),
        ("=?UTF-8?Q?J=C3=B6rg?= <joerg@example.com>", "joerg"),
        ("john.doe@example.com (John Doe)", "john.doe"),
        ("john+tag@example.com", "john_tag"),
        ("o'brien@example.com", "o_brien"),
        # an address without a local part, or no address at all: the display name
        ("John Doe <>", "john_doe"),
        ('"Doe, John" <>', "doe_john"),
        ("John Doe <@example.com>", "john_doe"),
        ('"Doe, John"', "doe_john"),
        ("John (Sales)", "john_sales"),
        ("=?UTF-8?Q?J=C3=B6rg?=", "utf-8_q_j_c3_b6rg"),
        ("@example.com", "example.com"),
        # quoted local parts
        ('"john doe"@example.com', "john_doe"),
        ('"john@home"@example.com', "john_home"),
        ('"john\\"s"@example.com', "john_s"),
        ('"John" <"john@home"@example.com>', "john_home"),
        ('".."@example.com', "unknown"),
        # brackets and quotes that are not closed
        ("John <john.doe@example.com", "john_john.doe"),
        ("john.doe@example.com>", "john.doe"),
        ('"John <john.doe@example.com>', "john.doe"),
        ("John Doe> <", "john_doe"),
        # case, composition, scripts
        ("JOHN.DOE@EXAMPLE.COM", "john.doe"),
        ("JO\u0308RG@example.com", "jörg"),
        ("STRAẞE@example.com", "straße"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("Åsa", "åsa"),
        ("李雷@example.com", "李雷"),
        ("Иван Петров", "иван_петров"),
        ("محمد@example.com", "محمد"),
        ("user२३@example.com", "user२३"),
        ("👍 Great Deals 👍", "great_deals"),
        # what must not reach a key
        ("../../etc/passwd@example.com", "etc_passwd"),
        ("..\\..\\windows@example.com", "windows"),
        ("%2e%2e%2fsecret@example.com", "2e_2e_2fsecret"),
        ("a/b/c@example.com", "a_b_c"),
        ("\u202egpj.exe@example.com", "gpj.exe"),
        ("jo\u200bhn@example.com", "jo_hn"),
        ("john\0doe@example.com", "john_doe"),
        ("john\r\nX-Header: 1@example.com", "john_x-header_1"),
        ("john\x1b[2J@example.com", "john_2j"),
        ("john\ud800doe@example.com", "john_doe"),
        ("s3://bucket/key@example.com", "s3_bucket_key"),
        # runs, edges and emptiness
        ("a  ,,  b@example.com", "a_b"),
        ("a..b__c--d@example.com", "a..b__c--d"),
        ("._john_.@example.com", "john"),
        ("-john-@example.com", "-john-"),
        ("", "unknown"),
        ("   ", "unknown"),
        (".", "unknown"),
        ("..", "unknown"),
        ("<>", "unknown"),
        ('""', "unknown"),
        ('""@example.com', "unknown"),
        ("@", "unknown"),
        ("!!!@example.com", "unknown"),
        ("\u0301", "unknown"),
        ("a" * 65 + "@example.com", "a" * 64),
        ("a" * 63 + "..b@example.com", "a" * 63),
    ],
)
def test_a_sender_becomes_a_segment(sender: str, slug: str) -> None:
    """The local part, or the display name: lower case, NFC, letters, digits, `.`, `-` and `_` only."""
    assert slug == sender_slug(sender)


def test_the_key_of_the_specification() -> None:
    """Prefix, day, sender, id and time of day, in UTC."""
    expected = "emails/2024/12/10/john.doe/msg-123_143022.json"
    assert expected == object_key("emails", MOMENT, "john.doe@example.com", "msg-123")


def test_the_quarantine_key_of_the_specification() -> None:
    """Prefix, day and id."""
    assert quarantine_key("quarantine", MOMENT, "msg-123") == "quarantine/2024/12/10/msg-123.json"


def test_numbers_in_a_key_keep_their_width() -> None:
    """Keys sort by time because months, days, hours, minutes and seconds have two digits."""
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert object_key("a/b", moment, "x@y", "m") == "a/b/2025/01/02/x/m_030405.json"


@pytest.mark.parametrize(
    ("message_id", "escaped"),
    [
        ("5fea7756-0ea4-451a-a703-a558b933e274", "5fea7756-0ea4-451a-a703-a558b933e274"),
        ("../../x", "..%2F..%2Fx"),
        ("a b", "a%20b"),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
        ("..", ".."),
    ],
)
def test_an_odd_message_id_stays_one_segment(message_id: str, escaped: str) -> None:
    """SQS gives UUIDs; whatever another queue gives is escaped."""
    assert object_key("emails", MOMENT, "x@y", message_id) == f"emails/2024/12/10/x/{escaped}_143022.json"
    assert quarantine_key("quarantine", MOMENT, message_id) == f"quarantine/2024/12/10/{escaped}.json"


@given(IDS, IDS)
def test_two_messages_never_share_a_key(one: str, other: str) -> None:
    """However ids are escaped, different ids give different keys."""
    keys = {object_key("emails", MOMENT, "x@y", each) for each in (one, other)}
    quarantine_keys = {quarantine_key("quarantine", MOMENT, each) for each in (one, other)}
    assert len({one, other}) == len(keys) == len(quarantine_keys)


@given(SENDERS, IDS, MOMENTS)
@example("\U00010400" * 64, "\x20" * LONGEST_ID, MOMENT)
def test_no_sender_escapes_its_place(sender: str, message_id: str, moment: datetime) -> None:
    """Below the prefix are always the day, one segment for the sender and one for the message, within S3's limits."""
    prefix = "p" * PREFIX_MAX_BYTES
    key = object_key(prefix, moment, sender, message_id)
    segments = key.split("/")
    assert [prefix, f"{moment.year:04}", f"{moment.month:02}", f"{moment.day:02}"] == segments[:4]
    assert len(segments) == 6
    assert not {"", ".", ".."} & set(segments)
    assert len(key.encode()) <= KEY_MAX_BYTES
    assert key.isprintable()


@given(SENDERS)
def test_a_segment_holds_letters_digits_and_three_marks(sender: str) -> None:
    """Nothing else is left of a sender, at most 64 characters of it, and never a `.` or `_` at either end."""
    slug = sender_slug(sender)
    assert {character for character in slug if not character.isalnum()} <= set("._-")
    assert 1 <= len(slug) <= SENDER_MAX_CHARACTERS
    assert slug == slug.strip("._")


@given(SENDERS)
def test_a_segment_is_lower_case_and_composed(sender: str) -> None:
    """Two spellings of one name, in case or in Unicode composition, give one folder."""
    slug = sender_slug(sender)
    assert slug == unicodedata.normalize("NFC", slug.lower())


@given(SENDERS)
def test_the_segment_of_a_segment_is_itself(sender: str) -> None:
    """What stands in a key can be used as a sender to find it again."""
    slug = sender_slug(sender)
    assert slug == sender_slug(slug)


@given(st.text(st.sampled_from("aäÖß9-"), min_size=1, max_size=20), st.text(ANY_CHARACTER, max_size=50))
def test_what_follows_the_at_sign_does_not_matter(local: str, domain: str) -> None:
    """All addresses with one local part share a folder, whatever stands in place of their domain."""
    without_brackets = domain.replace("<", "")
    assert sender_slug(local) == sender_slug(f"{local}@{without_brackets}")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "sender",
    [
        "a" + "\u0301\u0316" * (MEBIBYTE // 4),
        '"' + "a" * MEBIBYTE,
        '"' + "\\a" * (MEBIBYTE // 2),
        "<" * MEBIBYTE,
        " " * MEBIBYTE + "a",
        "İ" * (MEBIBYTE // 2),
    ],
    ids=["combining marks", "open quote", "escapes", "brackets", "spaces", "capital dotted i"],
)
def test_a_mebibyte_of_sender_takes_no_time(sender: str) -> None:
    """No sender can keep the event loop busy: normalising marks, for one, takes quadratic time."""
    assert len(sender_slug(sender)) <= SENDER_MAX_CHARACTERS
