"""Objects that S3 refuses by their key: they take nothing from the others, and they come to an end."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from email_processor.domain.errors import Cause
from email_processor.metrics import Operation
from email_processor.pipeline.storing import StoreRules
from tests.simulation.connection import CHANGE_VISIBILITY, DELETE, PUT, RECEIVE, Fate, refused, slow
from tests.unit.pipeline.kit import PROBE, later
from tests.unit.pipeline.whole import PLAN, Pipeline

BUSY = replace(PLAN, store=StoreRules(most=32, probe=PROBE))


def refusing(is_refused: Callable[[str], bool], cause: Cause, seconds: float) -> Callable[[tuple[str, ...]], Fate]:
    """PUTs that take so long, and some of them fail."""
    return lambda key: refused(cause, after=seconds) if is_refused(key[0]) else slow(seconds)


@pytest.mark.parametrize("cause", [Cause.SERVER, Cause.DENIED])
async def test_one_refused_object_does_not_stop_a_quiet_service(cause: Cause) -> None:
    """Fifty that come later are stored, it is in quarantine after three receives, and the service is well."""
    pipeline = Pipeline()
    pipeline.script.always(PUT, refusing(lambda key: key.startswith("emails/") and "/m1_" in key, cause, 0.05))
    pipeline.send()
    later(120, pipeline.send, 50)
    seen: list[tuple[int, bool]] = []
    later(140, lambda: seen.append((len(pipeline.stored), pipeline.health.ready().ok)))
    await pipeline.run((3 if cause is Cause.SERVER else 6) * 3600)  # denied, it is waited whether all are
    assert [(50, True)] == seen
    assert 51 == len(pipeline.stored)
    (document,) = [json.loads(it) for key, it in pipeline.stored.items() if key.startswith("quarantine/")]
    assert ("m1", "undeliverable", 3) == (document["message_id"], document["reason"], document["receive_count"])
    assert 51 == len(pipeline.queue.deleted)
    assert len(pipeline.calls(PUT)) < (110 if cause is Cause.SERVER else 500)


async def test_what_s3_refuses_by_name_does_not_hold_up_a_start() -> None:
    """Each of them is the one message that may be received in doubt; the next one may be at once."""
    pipeline = Pipeline()
    pipeline.bucket.refuses |= {f"/m{number}_" for number in range(1, 6)}
    pipeline.send(40)
    await pipeline.run(5)
    assert 35 == len(pipeline.stored)


async def test_refused_objects_come_to_an_end_though_nothing_else_is_stored() -> None:
    """As many as open the circuit, in a queue that has nothing else: what is stored between is the probe object."""
    pipeline = Pipeline()
    pipeline.script.always(PUT, refusing(lambda key: key.startswith("emails/"), Cause.SERVER, 0.05))
    pipeline.send(28)
    await pipeline.run(4 * 3600)
    assert 28 == len(pipeline.queue.deleted)
    assert all(key.startswith("quarantine/") for key in pipeline.stored)


async def test_a_prefix_that_is_denied_to_all_costs_no_receive() -> None:
    """Half an hour of a policy that has another prefix than the settings: then all are stored."""
    pipeline = Pipeline(max_receive_count=5)
    pipeline.script.always(PUT, refusing(lambda key: key.startswith("emails/"), Cause.DENIED, 0.05))
    pipeline.send(50)
    later(1800, pipeline.script.clear, PUT)
    await pipeline.run(3600)
    assert 50 == len(pipeline.stored)
    assert all(key.startswith("emails/") for key in pipeline.stored)
    assert {1} == {message.receives for message in pipeline.queue.messages.values()}


async def test_a_prefix_that_is_denied_to_few_is_told_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """Three emails do not open the circuit, and the probe object, which has another prefix, is stored all the time."""
    caplog.set_level(logging.INFO)
    pipeline = Pipeline()
    pipeline.script.always(PUT, refusing(lambda key: key.startswith("emails/"), Cause.DENIED, 0.05))
    later(10, pipeline.send, 3)
    seen: list[object] = []
    for seconds in (9, 15, *range(30, 1800, 30)):
        later(seconds, lambda: seen.append(pipeline.health.ready().parts["storing"]))
    later(1800, pipeline.script.clear, PUT)
    later(1900, lambda: seen.append(pipeline.health.ready().parts["storing"]))
    await pipeline.run(3600)
    well, *denied, mended = [it["status"] for it in seen if isinstance(it, dict)]
    assert ("ok", "ok") == (well, mended)
    assert {"failing"} == set(denied)
    said = [record.message for record in caplog.records if record.message in {"failing", "recovered"}]
    assert ["failing"] * (len(said) - 1) + ["recovered"] == said
    assert 3 == len(pipeline.stored)


async def test_one_denied_email_beside_others_is_no_outage() -> None:
    """Its prefix is one sender's: what is stored since says so."""
    pipeline = Pipeline()
    pipeline.script.always(PUT, refusing(lambda key: "/m1_" in key, Cause.DENIED, 0.05))
    pipeline.send(2)
    for seconds in range(10, 300, 10):
        later(seconds, pipeline.send)
    seen: list[bool] = []
    for seconds in range(15, 300, 10):
        later(seconds, lambda: seen.append(pipeline.health.ready().ok))
    await pipeline.run(300)
    assert all(seen)


async def test_in_a_store_that_fails_a_fifth_of_all_puts_next_to_nothing_is_let_go() -> None:
    """At random: none of a thousand emails is set aside, and one in a hundred costs a receive."""
    pipeline = Pipeline(BUSY)
    chance = Random(1)
    pipeline.script.always(PUT, refusing(lambda _: chance.random() < 0.2, Cause.SERVER, 0.1))
    pipeline.send(1000)
    await pipeline.run(900)
    assert 1000 == len(pipeline.stored)
    assert (pipeline.value("released_total", reason="refused") or 0) <= 10


async def rate(share: float, cause: Cause) -> float:
    """How many emails that are not refused are stored in a second, from the 30th second to the 60th."""
    pipeline = Pipeline(BUSY)
    chance = Random(0)
    bad = {f"m{number}" for number in range(1, 50_000) if chance.random() < share}
    pipeline.script.always(PUT, refusing(lambda key: key.rpartition("/")[2].partition("_")[0] in bad, cause, 0.1))
    pipeline.script.always(RECEIVE, slow(0.01))
    for quarter in range(4 * 60):
        later(quarter / 4, lambda: pipeline.send(200 - len(pipeline.queue.visible)))
    stored: list[int] = []
    for second in (30, 60):
        later(second, lambda: stored.append(len(pipeline.stored)))
    await pipeline.run(60.5)
    return (stored[1] - stored[0]) / 30


@pytest.mark.parametrize(
    ("share", "cause", "least"),
    [(0.02, Cause.SERVER, 0.9), (0.02, Cause.DENIED, 0.9), (0.15, Cause.SERVER, 0.8), (0.15, Cause.DENIED, 0.8)],
)
async def test_where_a_share_is_refused_the_others_go_on(share: float, cause: Cause, least: float) -> None:
    """With the first tries of the others the uploads at once are busy: the refused ones have what is left, in turn."""
    alone = (1 - share) * 320  # of 32 uploads at once, of a tenth of a second each
    assert least * alone <= await rate(share, cause)


@pytest.mark.parametrize("operations", [(PUT,), (RECEIVE,), (DELETE, CHANGE_VISIBILITY)])
async def test_twelve_replacements_in_an_outage_burn_next_to_no_receive(operations: tuple[Operation, ...]) -> None:
    """Forty messages, half an hour in which the store or the queue is down, and a new pod every two minutes."""
    pipeline = Pipeline(max_receive_count=5)
    pipeline.send(40)
    for operation in operations:
        pipeline.script.always(operation, refused(after=0.05))
    for number in range(12):
        before = sum(message.receives for message in pipeline.queue.messages.values())
        await pipeline.again(120 * (number + 1))
        burnt = sum(message.receives for message in pipeline.queue.messages.values()) - before
        assert burnt <= (1 if DELETE in operations else 0)
    assert 40 == len(list(pipeline.queue.live()))
    pipeline.script.clear()
    await pipeline.again(5000)
    assert 40 == len(pipeline.stored)
    assert 40 == len(pipeline.queue.deleted)
