"""Writes the Grafana dashboard: `make chart`, or `--check` to see that the file is what this says.

In code, so that every panel has its data source, unit and description, and a query is read in one line.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "helm" / "email-processor" / "files" / "dashboard.json"
SOURCE = {"type": "prometheus", "uid": "$datasource"}
COLUMNS = 24
# Each row begins at a multiple of this, whatever the rows above hold, so that a new panel moves nothing of another row.
# Grafana draws no gaps: its grid moves panels up into empty space.
ROW_SLOT = 100


@dataclass(frozen=True)
class Panel:
    """A panel: `queries` by legend; `red_from` colours a stat's value."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    red_from: float | None = None
    stacked: bool = False


@dataclass(frozen=True)
class Row:
    """A row of panels, all of one size."""

    title: str
    panels: list[Panel]
    kind: str = "timeseries"
    height: int = 8


def metric(name: str, labels: str = "") -> str:
    """One of the service's metrics, of the chosen releases."""
    return f'email_processor_{name}{{namespace=~"$namespace", job=~"$job"{", " + labels if labels else ""}}}'


def rate(name: str, labels: str = "", by: str = "") -> str:
    """How fast a counter grows, over all pods."""
    by_clause = f" by ({by}) " if by else ""
    return f"sum{by_clause}(rate({metric(name, labels)}[$__rate_interval]))"


def quantile(share: float, name: str) -> str:
    """A quantile of a histogram, over all pods; nothing where nothing was counted."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', by='le')}) >= 0"


def share(part: str, whole: str) -> str:
    """A part of a whole; nothing where there is no whole."""
    return f"{part} / ({whole} > 0)"


VISIBLE = "max(" + metric("queue_messages", 'state="visible"') + ")"
DONE = " + ".join(rate(f"messages_{what}_total") for what in ("archived", "duplicate", "quarantined"))
# For ever while something waits and nothing is done, zero where nothing waits (0 / 0 is no number, and is dropped),
# nothing while the depth is not known.
TO_DRAIN = f"{VISIBLE} / ({DONE}) >= 0 or 0 * {VISIBLE}"

ROWS = [
    Row(
        "Is mail being stored?",
        [
            Panel("Archived", "Emails newly stored in the bucket.", "ops", {"": rate("messages_archived_total")}),
            Panel("Waiting", "Messages that are visible on the queue, approximately.", "short", {"": VISIBLE}),
            Panel(
                "Time to drain",
                "How long it takes to archive what waits, at the present rate: for ever while nothing is archived.",
                "s",
                {"": TO_DRAIN},
                red_from=300,
            ),
            Panel(
                "Sent to stored, p99",
                "Seconds from sent to the queue to stored in the bucket.",
                "s",
                {"": quantile(0.99, "sent_to_stored_seconds")},
                red_from=60,
            ),
            Panel(
                "Open circuits",
                "Pods that hold S3 to be down and receive nothing.",
                "short",
                {"": f"sum({metric('circuit_open')})"},
                red_from=1,
            ),
            Panel(
                "Pods not ready",
                "Pods whose /readyz is red.",
                "short",
                {"": f"count({metric('ready')} == 0) or 0 * count({metric('ready')})"},
                red_from=1,
            ),
        ],
        kind="stat",
        height=4,
    ),
    Row(
        "Emails",
        [
            Panel(
                "What became of messages",
                "Every message ends as one of these; corrupt ones are left for redelivery.",
                "ops",
                {
                    "archived": rate("messages_archived_total"),
                    "duplicate": rate("messages_duplicate_total"),
                    "quarantined": rate("messages_quarantined_total"),
                    "released": rate("messages_released_total"),
                    "corrupt": rate("messages_corrupt_total"),
                },
                stacked=True,
            ),
            Panel(
                "Received",
                "Messages that the queue handed out.",
                "ops",
                {"received": rate("messages_received_total")},
            ),
            Panel(
                "Sent to stored",
                "Seconds from sent to the queue to stored in the bucket: the age of what the queue hands out. Of what "
                "it has not handed out yet only CloudWatch knows the age (ApproximateAgeOfOldestMessage).",
                "s",
                {f"p{percent}": quantile(percent / 100, "sent_to_stored_seconds") for percent in (50, 99)},
            ),
            Panel(
                "Quarantined, by reason",
                "Messages that are not archivable emails, and why.",
                "ops",
                {"{{reason}}": rate("messages_quarantined_total", by="reason")},
                stacked=True,
            ),
            Panel(
                "Duplicates, by kind",
                "stored: the object was there; in_flight: redelivered while in flight; remembered: archived before, "
                "not yet deleted.",
                "ops",
                {"{{kind}}": rate("messages_duplicate_total", by="kind")},
                stacked=True,
            ),
            Panel(
                "Released, by reason",
                "Messages that were left to the queue, and why.",
                "ops",
                {"{{reason}}": rate("messages_released_total", by="reason")},
                stacked=True,
            ),
        ],
    ),
    Row(
        "Queue",
        [
            Panel(
                "Depth",
                "Messages on the queue, approximately, as SQS says.",
                "short",
                {"{{state}}": f"max by (state) ({metric('queue_messages')})"},
            ),
            Panel(
                "Time to drain",
                "How long it takes to archive what waits, at the present rate: for ever while nothing is archived.",
                "s",
                {"time to drain": TO_DRAIN},
            ),
            Panel(
                "Received how often",
                "The share of messages that had been received before; more than twice is on the way to the "
                "dead-letter queue.",
                "percentunit",
                {
                    f"more than {times}": "1 - "
                    + share(
                        rate("message_receive_count_bucket", rf'le=~"{times}(\\.0)?"'),
                        rate("message_receive_count_count"),
                    )
                    for times in (1, 2)
                },
            ),
        ],
    ),
    Row(
        "AWS",
        [
            Panel(
                "Requests",
                "Requests by operation.",
                "reqps",
                {"{{operation}}": rate("aws_requests_total", by="operation")},
            ),
            Panel(
                "Errors, by cause",
                "Requests that failed, by operation and cause; not those that were refused for one message alone.",
                "reqps",
                {
                    "{{operation}} {{outcome}}": rate(
                        "aws_requests_total", 'outcome!~"ok|refused"', by="operation, outcome"
                    )
                },
                stacked=True,
            ),
            Panel(
                "Throttled",
                "The share of requests that AWS throttled, by operation.",
                "percentunit",
                {
                    "{{operation}}": share(
                        rate("aws_requests_total", 'outcome="throttled"', by="operation"),
                        rate("aws_requests_total", by="operation"),
                    )
                },
            ),
            Panel(
                "Retries, by cause",
                "Calls that were tried again.",
                "ops",
                {"{{cause}}": rate("retries_total", by="cause")},
                stacked=True,
            ),
            Panel(
                "One upload",
                "Seconds for one PUT, successful or not; if the object was there, for the look at it too.",
                "s",
                {f"p{percent}": quantile(percent / 100, "upload_seconds") for percent in (50, 99)},
            ),
            Panel(
                "Deletes, by outcome",
                "Entries of delete batches; gone: the receipt handle was no longer good; failed: tried again.",
                "ops",
                {"{{outcome}}": rate("deletes_total", by="outcome")},
                stacked=True,
            ),
        ],
    ),
    Row(
        "Pods",
        [
            Panel(
                "CPU",
                "Cores used by each pod; against the pod's limit it is throttled.",
                "short",
                {"{{pod}} {{instance}}": f"rate({metric('process_cpu_seconds_total')}[$__rate_interval])"},
            ),
            Panel(
                "Memory",
                "Resident memory of each pod.",
                "bytes",
                {"{{pod}} {{instance}}": metric("process_resident_memory_bytes")},
            ),
            Panel(
                "Circuit",
                "1 while a pod holds S3 to be down and receives nothing.",
                "short",
                {"{{pod}} {{instance}}": metric("circuit_open")},
            ),
            Panel(
                "Circuits of offloaded bodies",
                "Buckets that a pod holds to be down; what waits for their bodies is not stored, all else is.",
                "short",
                {"{{pod}} {{instance}}": metric("payload_circuits_open")},
            ),
            Panel(
                "In flight",
                "Messages received and not yet deleted or given back, by pod.",
                "short",
                {"{{pod}} {{instance}}": metric("in_flight_messages")},
            ),
            Panel(
                "Bytes in flight",
                "Bytes of bodies in flight, room kept for receives included, by pod.",
                "bytes",
                {"{{pod}} {{instance}}": metric("in_flight_bytes")},
            ),
            Panel(
                "Uploads allowed",
                "Uploads that a pod may make at once: lowered by throttling, raised by success.",
                "short",
                {"{{pod}} {{instance}}": metric("upload_concurrency_limit")},
            ),
        ],
    ),
    Row(
        "Leases",
        [
            Panel(
                "Leases",
                "Visibility timeouts extended, and leases that ran out before their message was deleted.",
                "ops",
                {"extended": rate("lease_extensions_total"), "lost": rate("leases_lost_total")},
            ),
            Panel(
                "Waiting in the pod",
                "Seconds from received to upload started.",
                "s",
                {f"p{percent}": quantile(percent / 100, "queued_seconds") for percent in (50, 99)},
            ),
            Panel(
                "Version",
                "Pods by version: two while a new one rolls out.",
                "short",
                {"{{version}}": f"count by (version) ({metric('build_info')})"},
                stacked=True,
            ),
        ],
    ),
]


def identity(*titles: str) -> int:
    """The id of a row, or of a panel in a row: made from the titles, so that it stays when others come and go."""
    return int.from_bytes(hashlib.sha256("/".join(titles).encode()).digest()[:4]) >> 1


def drawn(panel: Panel, row: Row, place: dict[str, int]) -> dict[str, Any]:
    """A panel as Grafana has it."""
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if row.kind == "stat":
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if panel.red_from is not None:
            steps.append({"color": "red", "value": panel.red_from})
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["noValue"] = "unknown"
        options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none"}
    else:
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        defaults["custom"] = {"fillOpacity": 30 if panel.stacked else 10, "stacking": stacking, "showPoints": "never"}
        options = {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": identity(row.title, panel.title),
        "type": row.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend or "__auto",
                # a stat over a range would show the last value that there was, however old
                "instant": row.kind == "stat",
                "range": row.kind != "stat",
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def panels(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every row and panel, in its place."""
    drawings: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        top = number * ROW_SLOT
        drawings.append(
            {
                "id": identity(row.title),
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        abreast = min(len(row.panels), 6 if row.kind == "stat" else 3)
        width = COLUMNS // abreast
        for index, panel in enumerate(row.panels):
            line, column = divmod(index, abreast)
            place = {"x": column * width, "y": top + 1 + line * row.height, "w": width, "h": row.height}
            drawings.append(drawn(panel, row, place))
    return drawings


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice above the dashboard, of a label's values; all of them at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def dashboard(rows: Sequence[Row] = ROWS) -> dict[str, Any]:
    """The dashboard as Grafana imports it, with these rows."""
    build_info = "email_processor_build_info"
    return {
        "id": None,
        "uid": "email-processor",
        "title": "email-processor",
        "description": "Is mail being stored, how fast, and what is in the way?",
        "tags": ["email-processor"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "label": "Data source", "query": "prometheus"},
                variable("namespace", f"label_values({build_info}, namespace)"),
                variable("job", f'label_values({build_info}{{namespace=~"$namespace"}}, job)'),
            ]
        },
        "panels": panels(rows),
    }


def main() -> int:
    """Write the file, or with `--check` say if it would change."""
    text = json.dumps(dashboard(), indent=2) + "\n"
    if FILE.exists() and FILE.read_text() == text:
        return 0
    if sys.argv[1:] == ["--check"]:
        print(
            f"error: {FILE.relative_to(ROOT)} is not what scripts/dashboard.py says; run `make chart`", file=sys.stderr
        )
        return 1
    FILE.write_text(text)
    print(f"Wrote {FILE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
