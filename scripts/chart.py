"""Writes what the chart says of the settings and of its own values: `make chart`, or `--check` to see it is in sync.

* `settings` in values.yaml, with defaults and comments, from the application's settings;
* their part of values.schema.json, with limits and choices;
* what may be said of each alert, from files/alerts.yaml;
* the tables in the chart's README: of alerts, and of values, from the comments (`# -- ...`) in values.yaml;
* .env.example, for those who run it without Kubernetes.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from email_processor.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "email-processor"
BY_THE_CHART = "pod_termination_grace_seconds"  # computed from the grace period
WIDTH = 118

_PREFIX = r"^/*[\w!.*'()=-]+(/[\w!.*'()=-]+)*/*$"

# What the application checks in code, as far as a schema can say it, and what is only wrong in a pod.
STRICTER: dict[str, dict[str, Any]] = {
    "sqs_queue_url": {"pattern": r"^(https?://[^/@\s]+(/[\w-]+)+/[\w-]{1,80}(\.fifo)?)?$"},
    "s3_bucket_name": {"pattern": r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$"},
    "aws_region": {"pattern": r"^[a-z0-9][a-z0-9-]{0,62}$"},
    "sqs_region": {"pattern": r"^([a-z]{2,4}(-[a-z]+)+-[0-9]{1,2})?$"},
    "s3_key_prefix": {"pattern": _PREFIX},
    "s3_quarantine_prefix": {"pattern": _PREFIX},
    "s3_kms_key_id": {"pattern": r"^(arn:[a-z-]+:kms:[\w/:.-]+|[\w/.-][\w/:.-]*)?$", "maxLength": 2048},
    "http_host": {"not": {"pattern": r"^(127\.|localhost$|::1$)"}},  # the kubelet's probes come from outside
    "http_port": {"minimum": 1},  # the probes must know it
    "log_file": {"pattern": r"^((/[^/]+){2,})?$"},  # its directory becomes a volume
}
THRESHOLD = re.compile(r"([0-9.]+) # threshold")
KEPT = ("type", "enum", "pattern", "minimum", "maximum", "maxLength")


def settings() -> dict[str, dict[str, Any]]:
    """The schema of every setting that the chart's user can set, with its default."""
    schemas = Settings.model_json_schema()["properties"]
    found = {}
    for name, field in Settings.model_fields.items():
        if name == BY_THE_CHART:
            continue
        schema = schemas[name]
        for choice in schema.get("anyOf", ()):
            if choice["type"] != "null":
                schema = {**schema, **choice}
        default = "" if field.is_required() or field.default is None else field.default
        kept = {key: schema[key] for key in KEPT if key in schema}
        found[name.upper()] = {**kept, **STRICTER.get(name, {}), "default": default, "description": field.description}
    return found


def alerts() -> list[dict[str, Any]]:
    """Every alert of the chart, with its default threshold if it has one."""
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    found = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    for rule in found:
        thresholds = set(THRESHOLD.findall(rule["expr"]))
        assert len(thresholds) <= 1, f"{rule['alert']} has more than one threshold"  # noqa: S101 - the file is ours
        rule["threshold"] = next(iter(thresholds), None)
    return found


def alert_schema(rule: dict[str, Any]) -> dict[str, Any]:
    """What may be changed of an alert."""
    properties: dict[str, Any] = {
        "enabled": {"type": "boolean"},
        "for": {"type": "string", "pattern": "^([0-9]+(ms|[smhdwy]))+$"},
        "severity": {"type": "string", "minLength": 1},
    }
    if rule["threshold"] is not None:
        properties["threshold"] = {"type": "number", "minimum": 0}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def values(text: str) -> str:
    """values.yaml with the settings in it."""
    lines = ["settings:"]
    for name, schema in settings().items():
        lines += textwrap.wrap(
            f"-- {schema['description']}",
            WIDTH,
            initial_indent="  # ",
            subsequent_indent="  # ",
            break_on_hyphens=False,
        )
        lines.append(f"  {name}: {json.dumps(schema['default'])}")
    start, end = re.search(r"# settings: .*\n", text), text.index("# end of settings")
    assert start is not None  # noqa: S101 - the file is ours
    return text[: start.end()] + "\n".join(lines) + "\n" + text[end:]


def schema(text: str) -> str:
    """values.schema.json with the settings and the alerts in it."""
    document = json.loads(text)
    found = settings()
    document["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "required": list(found),
        "properties": found,
    }
    document["properties"]["monitoring"]["properties"]["alerts"]["properties"]["rules"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {rule["alert"]: alert_schema(rule) for rule in alerts()},
    }
    return json.dumps(document, indent=2) + "\n"


def readme(text: str) -> str:
    """The chart's README with its tables in it."""
    described = [
        f"| `{path}` | `{json.dumps(default)}` | {meaning.replace('|', chr(92) + '|')} |"
        for path, default, meaning in documented((CHART / "values.yaml").read_text())
    ]
    alerting = [
        f"| `{rule['alert']}` | {rule['labels']['severity']} | {rule['for']} | {rule['threshold'] or ''} "
        f"| {rule['annotations']['summary']} |"
        for rule in alerts()
    ]
    text = with_table(text, "alerts", "| alert | severity | for | threshold | summary |", alerting)
    return with_table(text, "values", "| value | default | meaning |", described)


def with_table(text: str, name: str, head: str, rows: list[str]) -> str:
    """A document with the rows of one of its tables written anew."""
    start = f"<!-- table: {name} -->\n"
    before, _, rest = text.partition(start)
    rule = "|" + " --- |" * (head.count("|") - 1)
    return before + start + "\n".join([head, rule, *rows]) + "\n" + rest[rest.index("<!-- end -->") :]


def dotenv(_before: str) -> str:
    """An example of a .env file: what is required, and the rest with its defaults."""
    lines = ["# Copy to .env. Made from src/email_processor/settings.py by `make chart`.", ""]
    for name, field in Settings.model_fields.items():
        lines += textwrap.wrap(
            field.description or "", WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        if field.is_required():
            lines += [f"{name.upper()}={(field.examples or [''])[0]}", ""]
        else:
            default = "" if field.default is None else field.default
            shown = str(default).lower() if isinstance(default, bool) else default
            lines += [f"#{name.upper()}={shown}", ""]
    return "\n".join(
        [
            *lines,
            "# AWS's own variables work as in every AWS SDK.",
            "#AWS_PROFILE=",
            "#AWS_ENDPOINT_URL=http://127.0.0.1:5000",
            "",
        ]
    )


def documented(text: str) -> Iterator[tuple[str, Any, str]]:
    """Every value that has a comment: its path, its default, and the comment."""
    everything = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        said = re.fullmatch(r" *# (-- )?(.*)", line)
        key = re.match(r"( *)([\w./-]+):", line)
        if said:
            comment = [said[2]] if said[1] else [*comment, said[2]] if comment else []
        elif key:
            path = [*((depth, name) for depth, name in path if depth < len(key[1])), (len(key[1]), key[2])]
            if comment:
                default = everything
                for _, name in path:
                    default = default[name]
                yield ".".join(name for _, name in path), default, " ".join(comment)
            comment = []
        else:
            comment = []


def main() -> int:
    """Write the files, or with `--check` say which would change."""
    is_check = sys.argv[1:] == ["--check"]
    stale = []
    for file, make in (
        (CHART / "values.yaml", values),
        (CHART / "values.schema.json", schema),
        (CHART / "README.md", readme),
        (ROOT / ".env.example", dotenv),
    ):
        before = file.read_text() if file.exists() else ""
        after = make(before)
        if after != before:
            stale.append(str(file.relative_to(ROOT)))
            if not is_check:
                file.write_text(after)
    if stale and is_check:
        print(f"error: not what the code says: {', '.join(stale)}; run `make chart`", file=sys.stderr)
        return 1
    print(f"Wrote {', '.join(stale)}" if stale else "The chart says what the code says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
