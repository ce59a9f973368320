"""What the demo claims at its end, and when it must not."""

import json

import pytest

from email_processor.domain.errors import Reason
from email_processor.tools.demo import proof
from email_processor.tools.demo.cloud import Version
from email_processor.tools.send.samples.generate import Sample

BODY = json.dumps(
    {"email_subject": "S", "email_sender": "a@example.com", "email_timestream": 1, "email_content": "Grüße"}
)
GOOD = Version("emails/2024/12/10/a/id-1_143022.json", 10, "tag", "now")
BAD = Version("quarantine/2024/12/10/id-2.json", 10, "tag", "now")
BROKEN = 'not "JSON", ungültig'
SENT = {"id-1": Sample(BODY), "id-2": Sample(BROKEN, flaw=Reason.NOT_JSON)}
STORED = {"id-1": b'{"message_id":"id-1","email_data":' + BODY.encode() + b"}"}


@pytest.mark.parametrize(
    ("versions", "holds"),
    [
        ([GOOD, BAD], True),
        ([BAD, GOOD], True),
        ([GOOD], False),
        ([GOOD, GOOD, BAD], False),
        ([GOOD, BAD, Version("emails/2024/12/10/a/id-3_143022.json", 10, "tag", "now")], False),
        ([GOOD, Version("emails/2024/12/10/unknown/id-2_143022.json", 10, "tag", "now")], False),
    ],
    ids=["all", "any order", "one missing", "one written twice", "one that nobody sent", "one in the wrong place"],
)
def test_stored_once_means_one_version_of_each_in_its_place(versions: list[Version], *, holds: bool) -> None:
    """An object that was overwritten has two versions."""
    verdict = proof.stored_once(SENT, versions)
    assert verdict.is_good is holds
    assert "2 messages sent, 1 emails archived and 1 in quarantine" in verdict.text


@pytest.mark.parametrize(
    ("contents", "holds"),
    [
        (STORED, True),
        ({"id-1": STORED["id-1"].replace(b"S", b"s")}, False),
        ({"id-1": STORED["id-1"].replace(b'": "S"', b'":"S"')}, False),
        ({"id-1": STORED["id-1"].replace(b'"id-1"', b'"id-2"')}, False),
        (STORED | {"id-3": b"{}"}, False),
    ],
    ids=["same", "changed", "spelt anew", "of another message", "of nobody"],
)
def test_byte_for_byte_means_the_very_bytes(contents: dict[str, bytes], *, holds: bool) -> None:
    """The email's JSON is in its object as it was sent, not only its values."""
    assert proof.byte_for_byte(SENT, contents).is_good is holds


@pytest.mark.parametrize(
    ("body", "holds"), [(BROKEN, True), (BROKEN[:-1], False), (f"{BROKEN} ", False)], ids=["same", "cut", "more"]
)
def test_a_broken_message_must_be_whole_in_quarantine(body: str, *, holds: bool) -> None:
    """What arrived is a text in another document."""
    contents = {"id-2": json.dumps({"message_id": "id-2", "reason": "not_json", "body": body}).encode()}
    claim = proof.byte_for_byte(SENT, contents)
    assert claim.is_good is holds
    assert claim.text.endswith(f"and {int(holds)} of 1 broken messages are whole in quarantine")


def test_byte_for_byte_looks_into_envelopes() -> None:
    """What SNS wrapped is compared unwrapped."""
    envelope = json.dumps({"Type": "Notification", "Message": BODY})
    assert proof.byte_for_byte({"id-1": Sample(envelope)}, STORED).is_good is True


def test_only_as_many_are_compared_as_were_read() -> None:
    """The rest is not claimed."""
    verdict = proof.byte_for_byte({"id-1": Sample(BODY), "id-9": Sample(BODY)}, STORED)
    assert verdict.is_good is True
    assert verdict.text.startswith("Byte for byte: 1 of 1 emails")


@pytest.mark.parametrize(
    ("after", "recognised", "holds"),
    [
        ([GOOD, BAD], 3, True),
        ([GOOD, BAD], 2, False),
        ([GOOD, Version(BAD.key, 10, "tag", "later")], 3, False),
        ([GOOD, GOOD, BAD], 3, False),
    ],
    ids=["nothing changed", "one not recognised", "one written again", "one more version"],
)
def test_a_second_delivery_must_change_nothing(after: list[Version], recognised: int, *, holds: bool) -> None:
    """Not even the time of an object."""
    assert proof.unchanged([GOOD, BAD], after, 3, recognised).is_good is holds


def test_a_second_delivery_that_did_not_happen_proves_nothing() -> None:
    """Zero of zero is no evidence."""
    assert proof.unchanged([GOOD], [GOOD], 0, 0).is_good is False


@pytest.mark.parametrize(("receives", "holds"), [(300, True), (301, False)])
def test_an_outage_must_cost_no_receive(receives: int, *, holds: bool) -> None:
    """Each would bring a message closer to the dead-letter queue."""
    assert proof.outage_was_free(3, receives, 300).is_good is holds


@pytest.mark.parametrize(("left", "dead", "holds"), [(0, 0, True), (1, 0, False), (0, 1, False), (2, 2, False)])
def test_both_queues_must_be_empty(left: int, dead: int, *, holds: bool) -> None:
    """The dead-letter queue as well."""
    assert proof.queues_empty(left, dead).is_good is holds


@pytest.mark.parametrize(("code", "left", "holds"), [(0, 0, True), (1, 0, False), (0, 1, False), (-9, None, False)])
def test_a_stop_must_be_clean(code: int, left: int | None, *, holds: bool) -> None:
    """Exit code 0, and a last line that says that nothing is in flight."""
    assert proof.stopped_cleanly(code, 0.5, left).is_good is holds
