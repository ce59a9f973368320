"""Every metric, over an injected registry.

The label sets of counters exist from the start, so that alerts see zeros, not gaps; a gauge whose value is not known,
not yet or not any more, is absent.
"""

from collections.abc import Iterable
from enum import StrEnum
from itertools import product

from prometheus_client import CollectorRegistry, Gauge

from email_processor.counting import Counter, Histogram, LabelledCounter, ReadCounter
from email_processor.domain.errors import Cause, Reason

PREFIX = "email_processor"

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 14400, 86400)


class Operation(StrEnum):
    """A request to AWS, as AWS names it."""

    RECEIVE = "ReceiveMessage"
    DELETE = "DeleteMessageBatch"
    CHANGE_VISIBILITY = "ChangeMessageVisibilityBatch"
    QUEUE_STATE = "GetQueueAttributes"
    PUT = "PutObject"
    FETCH = "GetObject"

    @property
    def service(self) -> str:
        """The service that it is made to, as AWS names it."""
        return "s3" if self in {Operation.PUT, Operation.FETCH} else "sqs"


class Metrics:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        """Create every metric on `registry`."""
        self.registry = registry

        def counter(name: str, text: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, registry)

        def labelled(name: str, text: str, **labels: Iterable[str]) -> LabelledCounter:
            return LabelledCounter(f"{PREFIX}_{name}", text, tuple(labels), product(*labels.values()), registry)

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
            return Histogram(f"{PREFIX}_{name}", text, bounds, registry)

        self.received = counter("messages_received_total", "Messages that the queue handed out.")
        self.corrupt = counter(
            "messages_corrupt_total",
            "Messages whose body did not match its MD5; left for redelivery, unless it never does.",
        )
        self.archived = counter("messages_archived_total", "Emails newly stored in the bucket.")
        self.duplicates = labelled(
            "messages_duplicate_total",
            "Messages that needed no new object: stored = their object was there, in_flight = redelivered while in "
            "flight, remembered = archived before, not yet deleted.",
            kind=("stored", "in_flight", "remembered"),
        )
        self.quarantined = labelled(
            "messages_quarantined_total", "Messages put under the quarantine prefix, by reason.", reason=Reason
        )
        self.released = labelled(
            "messages_released_total",
            "Messages left to the queue: shutdown = given back while stopping, lease_expired = not started in time or "
            "its lease lost, refused = this object or payload alone keeps failing, rejected = quarantine is off, "
            "deferred = hidden for some minutes, because the bucket of its offloaded body fails.",
            reason=("shutdown", "lease_expired", "refused", "rejected", "deferred"),
        )
        self.receive_count = histogram(
            "message_receive_count", "How often a message had been received when it got here.", (1, 2, 3, 5, 10, 100)
        )
        self.lease_extensions = counter("lease_extensions_total", "Leases extended.")
        self.leases_lost = counter("leases_lost_total", "Leases lost before the message was deleted.")
        self.deletes = labelled(
            "deletes_total",
            "Delete entries by outcome: deleted, gone = the receipt handle was no longer good, failed = tried again.",
            outcome=("deleted", "gone", "failed"),
        )
        self.upload_seconds = histogram(
            "upload_seconds",
            "Seconds for one PUT, successful or not; if the object was there, for the look at it too.",
            _FAST,
        )
        self.sent_to_stored = histogram(
            "sent_to_stored_seconds", "Seconds from sent to the queue to stored in the bucket.", _SLOW
        )
        self.queued_seconds = histogram("queued_seconds", "Seconds from received to upload started.", _FAST)
        self.retries = labelled("retries_total", "Calls tried again, by cause.", cause=Cause)
        self.in_flight_messages = gauge("in_flight_messages", "Messages received and not yet deleted or let go of.")
        self.in_flight_bytes = gauge(
            "in_flight_bytes", "Bytes of bodies and attributes in flight, room kept for receives included."
        )
        self.queue_messages = gauge(
            "queue_messages",
            "Approximate messages on the queue: visible, in_flight, delayed; absent while they cannot be read.",
            ("state",),
        )
        self.circuit_open = gauge("circuit_open", "1 while S3 is held to be down and receiving is stopped.")
        self.payload_circuits_open = gauge(
            "payload_circuits_open",
            "Buckets of offloaded bodies that are held to be down; what waits for them is not stored, all else is.",
        )
        self.upload_limit = gauge("upload_concurrency_limit", "Uploads allowed at once.")
        self.receivers = gauge("receivers_wanted", "Receive tasks that may poll at once.")
        self.ready = gauge("ready", "1 while /readyz is green.")
        self.log_lines_dropped = ReadCounter(
            f"{PREFIX}_log_lines_dropped_total",
            "Lines of the log that were not written, to stderr or to the file: nobody read them, or writing failed.",
            registry,
        )
        self.credentials_expiry = gauge(
            "credentials_expiry_timestamp_seconds",
            "Unix time at which the AWS credentials in use end; +Inf if they have no end, or before there are any.",
        )
        self.credentials_expiry.set(float("inf"))
        self.aws_requests = LabelledCounter(
            f"{PREFIX}_aws_requests_total",
            "Requests to AWS by service, operation and "
            "outcome: ok, refused (for reasons of this one message), or the cause of the fault.",
            ("aws_service", "operation", "outcome"),  # a ServiceMonitor gives every series a `service` of its own
            (
                (operation.service, operation, outcome)
                for operation in Operation
                for outcome in ("ok", "refused", *Cause)
            ),
            registry,
        )
        build = gauge("build_info", "Always 1; the version is the label.", ("version",))
        build.labels(version).set(1)

    def totals(self) -> dict[str, int]:
        """The counts that tell what became of every message, since the start."""
        counters: dict[str, Counter | LabelledCounter] = {
            "received": self.received,
            "archived": self.archived,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "released": self.released,
            "corrupt": self.corrupt,
            "leases_lost": self.leases_lost,
        }
        return {name: counter.total for name, counter in counters.items()}

    def in_flight(self) -> int:
        """How many messages are in flight."""
        return int(next(sample.value for family in self.in_flight_messages.collect() for sample in family.samples))
