"""Senders as anybody could write them: any text, with pieces in it that mean something in an address or in a path."""

from hypothesis import strategies as st

ANY_CHARACTER = st.characters(exclude_categories=())
ANY_TEXT = st.text(ANY_CHARACTER, max_size=200)
PIECES = st.sampled_from(
    [
        *('"', "\\", "<", ">", "@", ",", ";", ":", "(", ")", "[", "]", "=", "=?", "?="),
        *("=?utf-8?Q?", "=?UTF-8?B?QW5uYQ==?=", "=?x?q?=C3?=", "mailto:", "anna@example.com"),
        *("/", ".", "..", "_", "-", " ", "%2e", "\u202e", "\0", "\ud800"),
        *("\u0301", "\u093e", "\ufe0f", "\u20e3", "\u200d", "क", "ก", "İ", "Σ", "ﬃ", "🎉", "1"),
    ]
)
SENDERS = ANY_TEXT | st.lists(PIECES | ANY_TEXT, max_size=30).map("".join)
