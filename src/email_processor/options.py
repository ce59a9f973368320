"""The settings as options of the queue and of the bucket, for the service and for every command.

They are a room of their own because a command that only reads the bucket need not load the service.
"""

from email_processor import __version__
from email_processor.aws.archive import StoreOptions, probe_of
from email_processor.aws.connect import QueueOptions
from email_processor.pipeline.ceilings import REQUESTS_MOST, UPLOADS_MOST
from email_processor.pipeline.leases import MOST_REQUESTS
from email_processor.ports import ProbeObject
from email_processor.settings import Settings, queue_region


def queue_options(settings: Settings) -> QueueOptions:
    """The queue's part of the settings."""
    return QueueOptions(
        url=settings.sqs_queue_url,
        region=queue_region(settings),
        visibility_timeout=settings.visibility_timeout_seconds,
        wait=settings.sqs_wait_time_seconds,
        timeout=settings.sqs_timeout_seconds,
        connections=2 * REQUESTS_MOST + MOST_REQUESTS,
        key_time=settings.s3_key_time,
    )


def store_options(settings: Settings) -> StoreOptions:
    """The bucket's part of the settings."""
    return StoreOptions(
        bucket=settings.s3_bucket_name,
        region=settings.aws_region,
        sse=settings.s3_sse,
        kms_key_id=settings.s3_kms_key_id,
        conditional=settings.s3_conditional_writes,
        timeout=settings.s3_timeout_seconds,
        connections=UPLOADS_MOST,
        user_agent=f"email-processor/{__version__}",
    )


def written_prefixes(settings: Settings) -> tuple[str, ...]:
    """All prefixes that something is stored under: that of emails, and that of the quarantine if it is used."""
    if settings.quarantine_enabled:
        return settings.s3_key_prefix, settings.s3_quarantine_prefix
    return (settings.s3_key_prefix,)


def probe_object(settings: Settings) -> ProbeObject:
    """What is put to see whether objects can be stored: aside from the emails, if anything may be stored there."""
    return probe_of(store_options(settings), written_prefixes(settings)[-1])
