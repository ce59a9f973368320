"""The composition root: what the settings become, and the summary."""

import ast
import asyncio
import gc
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from email_processor import __version__, cli, options, service
from email_processor.metrics import Metrics
from email_processor.options import probe_object
from email_processor.pipeline.calls import Timeouts
from email_processor.pipeline.ceilings import Ceilings
from email_processor.pipeline.deleter import DeleteRules
from email_processor.pipeline.leases import LeaseRules
from email_processor.pipeline.receiver import ReceiveRules
from email_processor.pipeline.room import Budget
from email_processor.pipeline.run import Plan
from email_processor.pipeline.storing import StoreRules
from email_processor.pipeline.uploader import UploadRules
from email_processor.service import plan_of, summarise
from email_processor.settings import Settings, queue_region


def test_every_setting_of_the_pipeline_reaches_its_place() -> None:
    """No two of these values are the same, so that none can stand in another's place."""
    settings = Settings(
        sqs_queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/emails",
        s3_bucket_name="my-email-archive",
        poll_interval_seconds=31,
        max_messages_per_poll=9,
        visibility_timeout_seconds=301,
        sqs_wait_time_seconds=19,
        sqs_timeout_seconds=7,
        s3_timeout_seconds=14,
        s3_key_prefix="mail",
        s3_key_time="sent",
        s3_quarantine_prefix="rejected",
        quarantine_enabled=False,
        shutdown_grace_seconds=24,
    )
    expected = Plan(
        receive=ReceiveRules(most=3, batch=9, wait=19, poll_interval=31),
        upload=UploadRules(
            key_prefix="mail", quarantine_prefix="rejected", quarantine=False, version=__version__, key_time="sent"
        ),
        store=StoreRules(most=127, probe=probe_object(settings)),
        leases=LeaseRules(visibility_timeout=301),
        delete=DeleteRules(most_in_flight=5),
        budget=Budget(max_messages=999, max_bytes=50_000_000),
        timeouts=Timeouts(queue=7, store=14),
        grace=24,
    )
    assert expected == plan_of(settings, Ceilings(3, 5, 127, Budget(999, 50_000_000)))


def test_every_setting_is_handed_on() -> None:
    """A part whose rules have a default would work without it, and whoever set it would be told nothing."""
    edges = [Path(inspect.getfile(module)) for module in (cli, service, options)]
    sources = [*(path.read_text() for path in edges), inspect.getsource(queue_region)]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    only_compared_with_others = {"pod_termination_grace_seconds"}
    assert only_compared_with_others == Settings.model_fields.keys() - read


async def served(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Awaitable[int]]) -> int:
    """The exit code of a service without AWS whose pipeline is `run`."""

    @asynccontextmanager
    async def connect(*_arguments: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(inbox=None, archive=None, payloads=None)

    monkeypatch.setattr(service, "run", run)
    monkeypatch.setattr(service, "connect", connect)
    gc.disable()
    thresholds = gc.get_threshold()
    try:
        settings = Settings(
            sqs_queue_url="http://127.0.0.1:1/1/emails", s3_bucket_name="archive", http_host="127.0.0.1", http_port=0
        )
        return await service.serve(settings)
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*thresholds)


async def test_the_garbage_collector_is_on_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is off for the start only: off for longer, everything that refers to itself would stay in memory.

    As many messages as are in flight at AWS's distance, 1,600 of 30 objects, are no reason for it to look.
    """
    seen: list[tuple[bool, bool]] = []

    async def run(*_arguments: object) -> int:
        seen.append((gc.isenabled(), gc.get_threshold()[0] > 1600 * 30))
        return 0

    assert 0 == await served(monkeypatch, run)
    assert [(True, True)] == seen


async def test_while_it_works_it_logs_a_summary_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO, between the start and the stop: five emails are archived, and the summaries together say so."""
    caplog.set_level(logging.INFO)

    async def run(_plan: Plan, _ports: object, metrics: Metrics, *_: object) -> int:
        await asyncio.sleep(0)  # the summary's turn, to begin
        metrics.archived.inc(5)
        await asyncio.sleep(0)  # and to tell
        return 0

    monkeypatch.setattr(service, "SUMMARY_SECONDS", 0)
    assert 0 == await served(monkeypatch, run)
    summaries = [record for record in caplog.records if record.message == "summary"]
    assert 5 == sum(record.__dict__["archived"] for record in summaries)
    assert {"INFO"} == {record.levelname for record in summaries}
    assert "started" == caplog.messages[0]
    assert "stopped" == caplog.messages[-1]


async def test_the_summary_says_what_was_done_since_the_last(caplog: pytest.LogCaptureFixture) -> None:
    """Differences of the counts, and what is in flight now."""
    caplog.set_level(logging.INFO)
    metrics = Metrics(CollectorRegistry(), "1.0.0")
    metrics.received.inc(100)
    metrics.in_flight_messages.set(7)
    summaries = asyncio.create_task(summarise(metrics, 0))
    for received in (0, 3, 0):
        metrics.received.inc(received)
        await asyncio.sleep(0)  # the task's turn
    summaries.cancel()
    found = [(record.message, record.__dict__["received"], record.__dict__["in_flight"]) for record in caplog.records]
    assert [("summary", 3, 7), ("summary", 0, 7)] == found
