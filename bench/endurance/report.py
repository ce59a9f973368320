"""The results in words, and as JSON for the picture and for whoever wants to look again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.endurance.judge import EnduranceVerdict, is_own, series
from bench.endurance.run import SETTINGS, EnduranceRun
from bench.machine import measured_on
from bench.world import REST_SECONDS

POINTS = 160  # of a series in the file
COUNTS = ("tasks", "objects", "blocks")


def report(
    found: EnduranceRun,
    judged: Sequence[EnduranceVerdict],
    wrong: Sequence[str],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    """The whole report, in Markdown."""
    truth = found.report
    seconds = found.ended_at - found.began_at
    growing = [verdict for verdict in judged if verdict.grows]
    shown = [verdict for verdict in judged if not verdict.name.startswith(("table", "objects ")) or verdict.grows]
    tables = sum(verdict.name.startswith("table") for verdict in judged) // 2
    kinds = sum(verdict.name.startswith("objects ") for verdict in judged) // 2
    summary = (
        f"{found.messages:,} messages in {seconds / 60:.1f} minutes, {found.messages / seconds:,.0f} a second with the "
        f"rests, {found.cpu / found.messages * 1e6:,.0f} us of CPU a message. "
        f"{truth['counted'] - truth['quarantined']:,} archived once, {truth['quarantined']:,} in quarantine, "
        f"{truth['lost']} lost, {truth['damaged']} damaged, {truth['twice']} stored twice. "
        f"{truth['redelivered']:,} deliveries were not the first; {truth['already_there']:,} PUTs found their object."
    )
    troubles = ", ".join(f"{name} {count:,}" for name, count in sorted(truth["troubles"].items()))
    parts = [
        measured_on(machine, versions),
        summary,
        f"What went wrong on purpose: {troubles}.",
        f"Log lines: {', '.join(f'{name} {count:,}' for name, count in sorted(found.events.items()))}.",
        f"Judged after the first third, at work and in {len(found.rests)} rests with nothing in flight: memory, "
        f"descriptors, threads, tasks, {tables} tables and {kinds} kinds of objects. "
        + (f"**{len(growing)} of these series grow.**" if growing else "**Nothing grows.**"),
        "\n".join(f"* {verdict}" for verdict in shown),
    ]
    parts += [f"Logged: `{line}`" for line in found.bad_lines]
    if wrong:
        parts.append("**Wrong:** " + "; ".join(wrong) + ".")
    return "# Endurance run\n\n" + "\n\n".join(parts) + "\n"


def as_json(
    found: EnduranceRun,
    judged: Sequence[EnduranceVerdict],
    wrong: Sequence[str],
    machine: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    """Everything but libraries' tables and verdicts on what never changed. A series is one line, thinned."""
    facts = {
        "messages": found.messages,
        "seconds": round(found.ended_at - found.began_at, 1),
        "cpu_seconds": round(found.cpu, 2),
        "exit_code": found.exit_code,
        "wrong": list(wrong),
        "machine": dict(machine),
        "versions": dict(versions),
        "settings": SETTINGS,
        "server": found.report,
        "log": dict(found.events),
        "rests": [round(at - found.began_at, 1) for at in found.rests],
        "rest_seconds": REST_SECONDS,
        "grows": [verdict.name for verdict in judged if verdict.grows],
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items()]
    verdicts = ",\n".join(
        f"  {json.dumps(_rounded(asdict(verdict)))}" for verdict in judged if verdict.rise or verdict.new_height
    )
    lines.append(f' "verdicts": [\n{verdicts}\n ]')
    all_series = ",\n".join(f"  {json.dumps(name)}: {json.dumps(points)}" for name, points in _series(found).items())
    lines.append(f' "series": {{\n{all_series}\n }}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _rounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in facts.items()}


def _series(found: EnduranceRun) -> dict[str, list[tuple[float, float]]]:
    """What is drawn: process, counts and the service's own tables, against seconds since the first receive."""
    counts = [{name: look[name] for name in ("at", *COUNTS)} for look in found.inside]
    own = [{"at": look["at"], **{n: v for n, v in look["tables"].items() if is_own(n)}} for look in found.inside]
    everything = series(found.outside) | series(counts) | {f"table {n}": p for n, p in series(own).items()}
    everything["messages"] = [(at, counted) for at, counted in found.progress]
    return {
        name: [(round(at - found.began_at, 1), value) for at, value in points[:: max(1, len(points) // POINTS)]]
        for name, points in everything.items()
    }
