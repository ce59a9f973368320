"""What is judged, and how much it may change."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.endurance.judge import WARM_UP, Verdict, judge, series
from bench.endurance.run import Run
from email_processor.settings import Settings

# What may change between the end of the warm-up and the end of the run, beside the noise. At work everything swings
# with the load; at rest, with nothing in hand, a count says what is kept for good. But for connections: as many as were
# in use are kept for a while, up to 128 to S3; those that leak show in the line at work, where storms cut them. And
# garbage that waits for its collection makes objects and blocks swing by a hundredth.
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

# As many connections as the limiter allowed just then are in use in a storm: no two storms are alike, and the one with
# all that the settings allow may come late. The process has a few other descriptors.
OTHER_DESCRIPTORS = 32
CONNECTIONS = sum(Settings.model_fields[name].default for name in ("uploads_max", "receivers_max", "deletes_max"))
CEILINGS = dict.fromkeys(("descriptors", "sockets"), CONNECTIONS + OTHER_DESCRIPTORS)


def verdicts(found: Run) -> list[Verdict]:
    """Every series of the run, at work and at rest."""
    at_work = (found.outside, found.inside)
    first = round(WARM_UP * len(found.rests))
    at_rest = (found.at_rest(found.outside)[first:], found.at_rest(found.inside)[first:])
    return [
        *_verdicts("at work", at_work, AT_WORK, TABLE_AT_WORK, KIND_AT_WORK, ceilings=CEILINGS, warm_up=WARM_UP),
        *_verdicts("at rest", at_rest, AT_REST, TABLE_AT_REST, KIND_AT_REST, ceilings={}, warm_up=0),
    ]


def _verdicts(
    when: str,
    samples: tuple[Sequence[Mapping[str, float]], Sequence[Mapping[str, Any]]],
    allowed: Mapping[str, int],
    table_allowed: int,
    kind_allowed: int,
    *,
    ceilings: Mapping[str, int],
    warm_up: float,
) -> list[Verdict]:
    outside, inside = samples
    counts = [{name: value for name, value in look.items() if not isinstance(value, dict)} for look in inside]
    tables = [{"at": look["at"], **look["tables"]} for look in inside]
    kinds = [{"at": look["at"], **look["kinds"]} for look in inside]
    wanted = [(name, points, allowed[name]) for name, points in (series(outside) | series(counts)).items()]
    wanted += [(f"table {name}", points, table_allowed) for name, points in series(tables).items()]
    wanted += [(f"objects {name}", points, kind_allowed) for name, points in series(kinds).items()]
    return [
        judge(f"{name}, {when}", points, allowed=most, warm_up=warm_up, ceiling=ceilings.get(name, 0))
        for name, points, most in wanted
    ]
