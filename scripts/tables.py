"""Writes the tables of the documentation from the code: `make docs`, or `--check` to see that they are in sync.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is between is replaced.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo

from bench import bars, report
from bench.archive import bars as archive
from email_processor.domain.errors import Cause, Reason
from email_processor.metrics import Metrics, Operation
from email_processor.settings import Settings
from email_processor.tools.check.codes import CHECKS
from scripts import scaling
from tests.simulation.mutants import MUTANTS
from tests.simulation.rules import Rule

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TABLE = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings() -> str:
    """Every setting: name, default, what it may be, what it does."""
    rows = [
        (f"`{name.upper()}`", _default(field), _range(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return _table(("variable", "default", "allowed", "meaning"), rows)


def metrics() -> str:
    """Every metric: name, type, labels, help."""
    registry = CollectorRegistry()
    Metrics(registry, "0")
    labels = {
        "email_processor_aws_requests": "`aws_service`, `operation`, `outcome`",
        "email_processor_messages_quarantined": f"`reason`: {_values(Reason)}",
        "email_processor_retries": f"`cause`: {_values(Cause)}",
        "email_processor_build_info": "`version`",
        "email_processor_queue_messages": "`state`: visible, in_flight, delayed",
    }
    rows = []
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        found: dict[str, list[str]] = {}
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le" and value not in found.setdefault(label, []):
                    found[label].append(value)
        default = "; ".join(f"`{label}`: {', '.join(values)}" for label, values in found.items())
        rows.append((f"`{name}`", family.type, labels.get(family.name, default), family.documentation))
    return _table(("metric", "type", "labels", "meaning"), rows)


def operations() -> str:
    """Every AWS request that the service makes."""
    return _table(("service", "operation"), [(operation.service, operation.value) for operation in Operation])


def checks() -> str:
    """Every check of `email-processor check`."""
    rows = [
        (f'<a id="{check.code.lower()}"></a>{check.code}', check.group, check.title, check.looks_at, check.otherwise)
        for check in CHECKS
    ]
    return _table(("code", "group", "check", "what is looked at", "if it is not well"), rows)


def rules() -> str:
    """Every rule of the simulation, and the deliberate bugs that it must notice."""
    caught = {rule: [f"{mutant}" for mutant in MUTANTS if rule in mutant.rules] for rule in Rule}
    rows = [(f"`{rule.name}`", rule.value, "; ".join(caught[rule])) for rule in Rule]
    return _table(("rule", "what must hold", "deliberate bugs that it must notice"), rows)


def rooms() -> str:
    """Every room of the code, from the import contracts: its layer, and what its own docstring says it is."""
    layers: dict[str, tuple[int, ...]] = {"email_processor": ()}
    for contract in _contracts("layers"):
        for container in contract["containers"]:
            for number, names in enumerate(contract["layers"], 1):
                for name in re.findall(r"\w+", names):
                    layers[f"{container}.{name}"] = (*layers[container], number)
    del layers["email_processor"]
    rows = [
        (".".join(map(str, layer)), f"`{room.removeprefix('email_processor.')}`", _meaning(room))
        for room, layer in sorted(layers.items(), key=lambda item: (item[1], item[0]))
    ]
    return _table(("layer", "room", "what it is"), rows)


def contracts() -> str:
    """Every import contract that is not one of layers: what holds, and for which rooms."""
    rows = [
        (contract["name"], _rooms(contract["source_modules"]), _rooms(contract["forbidden_modules"]))
        for contract in _contracts("forbidden")
    ]
    return _table(("contract", "these", "never import"), rows)


def scaling_table(head: tuple[str, ...], rows: Callable[[], list[tuple[str, ...]]]) -> Callable[[], str]:
    """One of the tables of the scaling model."""
    return lambda: _table(head, rows())


def measured(
    head: tuple[str, ...], rows: Callable[[list[report.Row]], Sequence[Sequence[str]]], name: str = "aws"
) -> Callable[[], str]:
    """A table out of the newest results of the benchmark that are kept under a name."""
    return lambda: _table(head, rows(report.kept(name)["results"]))


SUBJECTS = ("subject", "CPU µs a message", "ratio", "messages a second on a core", "ratio", "peak RSS")

TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "metrics": metrics,
    "operations": operations,
    "checks": checks,
    "rules": rules,
    "rooms": rooms,
    "contracts": contracts,
    "bench-headline": measured(SUBJECTS, lambda rows: report.excerpt(filter(report.is_headline, rows))),
    "bench-loopback": measured(SUBJECTS, lambda rows: report.excerpt(filter(report.is_loopback, rows))),
    "bench-bars": measured(("what", "bar", "found", ""), lambda rows: list(bars.lines(rows)), "bars"),
    "bench-distances": measured(
        ("scenario", "messages a second", "CPU µs", "receives", "PUTs", "deletes", "in flight", "peak RSS"),
        report.distances,
    ),
    "bench-archive": lambda: _table(("what", "bar", "found", ""), list(archive.lines(archive.kept()))),
    "scaling-figures": scaling_table(("", "figure", "value", "from"), scaling.figures),
    "scaling-measured": scaling_table(
        ("emails of", "emails a second", "CPU a message", "memory, anonymous", "sent to stored, p99"), scaling.measured
    ),
    "scaling-day": scaling_table(("what", "how", "value"), scaling.day),
    "scaling-dollars": scaling_table(("what", "how many", "price", "a day"), scaling.dollars),
}


def _contracts(kind: str) -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == kind]


def _meaning(module: str) -> str:
    path = ROOT.joinpath("src", *module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0]


def _rooms(modules: Sequence[str]) -> str:
    return ", ".join(f"`{module.removeprefix('email_processor.')}`" for module in modules)


def _values(values: type[Reason] | type[Cause]) -> str:
    return ", ".join(each.value for each in values)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    return f"from {bounds['ge']}" if "ge" in bounds else ""


def _table(head: tuple[str, ...], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def rewritten(text: str) -> str:
    """`text` with every table made anew."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found['name']]()}{found[3]}", text)


def main(arguments: list[str]) -> int:
    """Write the tables, or with `--check` name the documents that are out of date."""
    stale = [path for path in DOCUMENTS if rewritten(path.read_text()) != path.read_text()]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: its tables are out of date; run `make docs`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(rewritten(path.read_text()))
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
