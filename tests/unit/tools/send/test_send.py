"""What `send` says of what it has sent."""

import pytest

from email_processor.domain.errors import Reason
from email_processor.tools.send.samples.generate import Sample
from email_processor.tools.send.send import SendTally
from email_processor.tools.send.sender import Repeats


@pytest.fixture
def tally() -> SendTally:
    """Three messages, one of them broken."""
    counted = SendTally()
    for flaw in (None, None, Reason.NOT_JSON):
        counted.add(Sample("x" * 100, flaw=flaw))
    return counted


def test_messages_and_bytes_are_counted(tally: SendTally) -> None:
    """Without a word of repeats where there were none."""
    assert "3 messages, 300 B, in 0.0 s; 1 of them broken, for the quarantine." == str(tally)


@pytest.mark.parametrize(
    ("repeats", "said"),
    [
        (
            Repeats(requests=10, messages=100),
            " (10 requests were repeated, so up to 100 of the messages may be on the queue twice).",
        ),
        (
            Repeats(requests=1, messages=3),
            " (1 request was repeated, so up to 3 of the messages may be on the queue twice).",
        ),
        (Repeats(unanswered=20), "; up to 20 more may be on the queue, as nobody answered."),
    ],
    ids=["some", "one", "given up"],
)
def test_what_may_be_on_the_queue_beside_is_said(tally: SendTally, repeats: Repeats, said: str) -> None:
    """The number is a limit: whether a request without an answer was taken, nobody knows."""
    tally.repeats = repeats
    assert str(tally).endswith(f"for the quarantine{said}")
