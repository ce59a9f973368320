"""Writes what the chart says of the settings and of its own values: `make chart`, or `--check` to see it is in sync.

* `settings` in values.yaml, with defaults and comments, from the application's settings;
* their part of values.schema.json, with limits and choices;
* the table of values in the chart's README, from the comments (`# -- ...`) in values.yaml;
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
    "aws_region": {"pattern": r"^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$"},
    "s3_key_prefix": {"pattern": _PREFIX},
    "s3_quarantine_prefix": {"pattern": _PREFIX},
    "http_host": {"not": {"pattern": r"^(127\.|localhost$|::1$)"}},  # the kubelet's probes come from outside
    "http_port": {"minimum": 1},  # the probes must know it
    "log_file": {"pattern": r"^((/[^/]+){2,})?$"},  # its directory becomes a volume
}
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
    """values.schema.json with the settings in it."""
    document = json.loads(text)
    found = settings()
    document["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "required": list(found),
        "properties": found,
    }
    return json.dumps(document, indent=2) + "\n"


def readme(text: str) -> str:
    """The chart's README with the table of values in it."""
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, meaning in documented((CHART / "values.yaml").read_text()):
        rows.append(f"| `{path}` | `{json.dumps(default)}` | {meaning.replace('|', chr(92) + '|')} |")
    start = "<!-- table: values -->\n"
    before, _, rest = text.partition(start)
    return before + start + "\n".join(rows) + "\n" + rest[rest.index("<!-- end -->") :]


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
