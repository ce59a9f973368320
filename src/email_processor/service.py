"""The composition root: where settings, AWS, pipeline and web meet, and the life of the process."""

import asyncio
import gc
import logging
import random
import time
from contextlib import AbstractAsyncContextManager
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector

from email_processor import __version__, logs
from email_processor.aws.connect import Aws, connect
from email_processor.container import limits
from email_processor.metrics import PREFIX, Metrics
from email_processor.options import probe_object, queue_options, store_options
from email_processor.pipeline.calls import Timeouts
from email_processor.pipeline.ceilings import Ceilings
from email_processor.pipeline.deleter import DeleteRules
from email_processor.pipeline.fetching import FetchRules
from email_processor.pipeline.health import Health
from email_processor.pipeline.leases import LeaseRules
from email_processor.pipeline.receiver import ReceiveRules
from email_processor.pipeline.run import Plan, Ports, run
from email_processor.pipeline.storing import StoreRules
from email_processor.pipeline.uploader import UploadRules
from email_processor.ports import Clock
from email_processor.settings import Settings
from email_processor.signals import stop_on_signal
from email_processor.web import serving

log = logging.getLogger(__name__)

SUMMARY_SECONDS = 60.0
# New objects that are not gone again, after which the garbage collector looks at them. A message in flight has about 30
# that it tracks: at its default of 2,000, or 700, it would look at all of them whenever 70 more are in flight; far from
# AWS that is the whole time. There is little for it to find: no fault leaves a circle with a body in it.
COLLECT_AFTER_OBJECTS = 50_000


async def serve(settings: Settings) -> int:
    """Run the service until a signal; the exit code: 0 after a clean drain, 1 if anything was left in flight.

    Raises:
        StartError: the HTTP address or the AWS configuration cannot be used.
        SettingsError: a region is none of AWS's, and it is AWS that is asked.
    """
    stop = asyncio.Event()
    clock = Clock(monotonic=asyncio.get_running_loop().time, wall=time.time)
    registry = CollectorRegistry()
    metrics = Metrics(registry, __version__)
    metrics.log_lines_dropped.read = logs.dropped
    ProcessCollector(namespace=PREFIX, registry=registry)
    plan = plan_of(settings, ceilings_of(settings))
    health = Health(clock, plan.patience)
    metrics.ready.set_function(lambda: float(health.ready().ok))

    # Signals first: a stop is heard from here on. Then the HTTP port, which answers whatever AWS does, and to the last.
    with stop_on_signal(stop):
        async with (
            serving(settings.http_host, settings.http_port, health.alive, health.ready, registry) as port,
            aws_of(settings) as aws,
            asyncio.TaskGroup() as tasks,
        ):
            metrics.credentials_expiry.set_function(lambda: aws.credentials.until)
            log.info(
                "started",
                extra={
                    "version": __version__,
                    "queue": settings.sqs_queue_url,
                    "bucket": settings.s3_bucket_name,
                    "prefix": settings.s3_key_prefix,
                    "port": port,
                },
            )
            summaries = tasks.create_task(summarise(metrics, SUMMARY_SECONDS), name="summary")
            gc.freeze()  # what is loaded by now stays: the collector need not look at it again and again
            gc.set_threshold(COLLECT_AFTER_OBJECTS)
            gc.enable()  # the command line turned it off for the start
            left = await run(plan, ports_of(settings, aws, clock), metrics, health, stop)
            summaries.cancel()
    log.log(logging.WARNING if left else logging.INFO, "stopped", extra={**metrics.totals(), "left_in_flight": left})
    return 1 if left else 0


async def summarise(metrics: Metrics, interval: float) -> None:
    """Log what was done in every `interval` seconds, until cancelled."""
    before = metrics.totals()
    while True:
        await asyncio.sleep(interval)
        now = metrics.totals()
        log.info("summary", extra={name: now[name] - before[name] for name in now} | {"in_flight": metrics.in_flight()})
        before = now


def aws_of(settings: Settings) -> AbstractAsyncContextManager[Aws]:
    """AWS, open for as long as the context lasts."""
    return connect(settings.aws_client, queue_options(settings), store_options(settings), settings.payload_max_bytes)


def ports_of(settings: Settings, aws: Aws, clock: Clock) -> Ports:
    """What the pipeline runs against."""
    return Ports(
        inbox=aws.inbox,
        queue=aws.inbox,
        archive=aws.archive,
        payloads=aws.payloads,
        clock=clock,
        uniform=random.Random().uniform,  # noqa: S311 - it spreads retries, nothing secret
        ceilings=partial(ceilings_of, settings),
    )


def ceilings_of(settings: Settings) -> Ceilings:
    """How much may be under way at most, in this container."""
    return Ceilings.of(limits(), batch=settings.max_messages_per_poll, max_bytes=settings.in_flight_max_bytes or None)


def plan_of(settings: Settings, ceilings: Ceilings) -> Plan:
    """The pipeline's part of the settings."""
    return Plan(
        receive=ReceiveRules(
            most=ceilings.receives,
            batch=settings.max_messages_per_poll,
            wait=settings.sqs_wait_time_seconds,
            poll_interval=settings.poll_interval_seconds,
        ),
        upload=UploadRules(
            key_prefix=settings.s3_key_prefix,
            quarantine_prefix=settings.s3_quarantine_prefix,
            quarantine=settings.quarantine_enabled,
            version=__version__,
            key_time=settings.s3_key_time,
        ),
        store=StoreRules(most=ceilings.uploads, probe=probe_object(settings)),
        fetch=FetchRules(most_bytes=settings.payload_max_bytes),
        leases=LeaseRules(visibility_timeout=settings.visibility_timeout_seconds),
        delete=DeleteRules(most_in_flight=ceilings.deletes),
        budget=ceilings.budget,
        timeouts=Timeouts(queue=settings.sqs_timeout_seconds, store=settings.s3_timeout_seconds),
        grace=settings.shutdown_grace_seconds,
    )
