"""What is judged, and how much it may change."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.endurance.judge import WARM_UP, EnduranceVerdict, is_own, judge, series
from bench.endurance.run import EnduranceRun
from email_processor.container import limits
from email_processor.pipeline.ceilings import Ceilings
from email_processor.ports import BATCH

# What may change between the end of the warm-up and the end of the run, beside the noise. At work everything swings
# with the load; at rest, with nothing in flight, a count says what is kept for good. But for connections: as many as
# were in use are kept for a while, up to 128 to S3; those that leak show in the line at work, where storms cut them.
# And garbage that waits for its collection makes objects and blocks swing by a hundredth.
AT_WORK = {"rss_kib": 4096, "threads": 2, "descriptors": 8, "sockets": 8, "tasks": 8, "objects": 2000, "blocks": 4000}
AT_REST = {
    "rss_kib": 4096,
    "threads": 10,
    "descriptors": 40,
    "sockets": 40,
    "tasks": 2,
    "objects": 1000,
    "blocks": 4000,
}
TABLE_AT_WORK, KIND_AT_WORK = 200, 400
TABLE_AT_REST, KIND_AT_REST = 10, 100

# How bad a storm gets is chance, and the worst may come late: a peak is no new height while the ceilings allow it at
# any time. Each message in flight may be an entry of the service's own tables; each batch of them may have a task that
# waits to delete it and one that waits to renew its leases; each upload, receive and delete may have its connection.
OTHERS = 32  # descriptors that are no such connection, tasks that are no worker and no batch
ALLOWED = Ceilings.of(limits(), batch=BATCH)
IN_FLIGHT = ALLOWED.budget.max_messages
CONNECTIONS = ALLOWED.uploads + ALLOWED.receives + ALLOWED.deletes + OTHERS
TASKS = ALLOWED.uploads + ALLOWED.receives + 2 * IN_FLIGHT // BATCH + OTHERS
CEILINGS = {"descriptors": CONNECTIONS, "sockets": CONNECTIONS, "tasks": TASKS}


def verdicts(found: EnduranceRun) -> list[EnduranceVerdict]:
    """Every series of the run, at work and at rest."""
    at_work = (found.outside, found.inside)
    first = round(WARM_UP * len(found.rests))
    at_rest = (found.at_rest(found.outside)[first:], found.at_rest(found.inside)[first:])
    return [
        *_verdicts("at work", at_work, AT_WORK, TABLE_AT_WORK, KIND_AT_WORK, ceiling=ceiling, warm_up=WARM_UP),
        *_verdicts("at rest", at_rest, AT_REST, TABLE_AT_REST, KIND_AT_REST, ceiling=lambda _: 0, warm_up=0),
    ]


def ceiling(name: str) -> int:
    """How high the settings let the series of that name be at any time; 0 if they do not say."""
    kind, _, table = name.partition(" ")
    return IN_FLIGHT if kind == "table" and is_own(table) else CEILINGS.get(name, 0)


def _verdicts(
    when: str,
    samples: tuple[Sequence[Mapping[str, float]], Sequence[Mapping[str, Any]]],
    allowed: Mapping[str, int],
    table_allowed: int,
    kind_allowed: int,
    *,
    ceiling: Callable[[str], float],
    warm_up: float,
) -> list[EnduranceVerdict]:
    outside, inside = samples
    counts = [{name: value for name, value in look.items() if not isinstance(value, dict)} for look in inside]
    tables = [{"at": look["at"], **look["tables"]} for look in inside]
    kinds = [{"at": look["at"], **look["kinds"]} for look in inside]
    wanted = [(name, points, allowed[name]) for name, points in (series(outside) | series(counts)).items()]
    wanted += [(f"table {name}", points, table_allowed) for name, points in series(tables).items()]
    wanted += [(f"objects {name}", points, kind_allowed) for name, points in series(kinds).items()]
    return [
        judge(f"{name}, {when}", points, allowed=most, warm_up=warm_up, ceiling=ceiling(name))
        for name, points, most in wanted
    ]
