"""The runbook, command by command, and what each prints in the state that it is for."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.chart import NAME, ROOT
from tests.support.emulators import BIN as COMMANDS
from tests.support.emulators import REGION
from tests.support.environment import clean_environment
from tests.support.site import Site

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
FENCED = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands of a part of the runbook, with the lines that go on."""
    return [
        command.rstrip()
        for block in FENCED.findall(text)
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]


def entry(heading: str) -> list[str]:
    """The commands of one entry."""
    return commands(RUNBOOK.split(f"\n## {heading}\n")[1].split("\n## ")[0])


INTRODUCTION = commands(RUNBOOK.split("\n## ")[0])
PREPARATION = "\n".join(INTRODUCTION[:-3])
FIRST = INTRODUCTION[-3:]


def kubeconfig() -> str:
    """Where kubectl finds its cluster: told here, since a shell of whoever is on call has another home."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


class Shell:
    """A shell of whoever is on call."""

    def __init__(self, directory: Path, site: Site, *, kubectl: str, config: str, namespace: str) -> None:
        """With that kubectl and an aws for a site; what they need is written to `directory`."""
        tools = directory / "bin"
        tools.mkdir()
        (tools / "kubectl").symlink_to(kubectl)
        (tools / "email-processor").symlink_to(COMMANDS / "email-processor")
        cli = Path(__file__).with_name("aws_cli.py")
        (tools / "aws").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{cli}" "$@"\n')
        (tools / "aws").chmod(0o755)
        self._preparation = PREPARATION.replace(f"NS={NAME}", f"NS={namespace}")
        self._environment = {
            **clean_environment(),
            **{name: value for name, value in site.settings.items() if name.startswith("AWS_")},
            "AWS_DEFAULT_REGION": REGION,
            "KUBECONFIG": config,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
        }

    def printed(self, *said: str) -> str:
        """What the last of these commands prints, on stdout and stderr; all of it is understood."""
        script = "\n".join([self._preparation, *said[:-1], "exec 2>&1", said[-1]])
        done = subprocess.run(
            ["/bin/bash", "-c", script], env=self._environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert not re.search(MISUNDERSTOOD, done.stdout), f"{said[-1]}\n{done.stdout}"
        return done.stdout

    def follow(self, heading: str) -> None:
        """Run the commands of an entry: each says what is the matter."""
        variables: list[str] = []
        for command, expected in zip(entry(heading), EXPECTED[heading][1], strict=True):
            printed = self.printed(*variables, command.replace("MESSAGE_ID.json", A_MESSAGE))
            assert re.search(expected, printed, re.MULTILINE), f"{heading}: {command}\n{printed}"
            variables += [command] if re.match(r"(export )?[A-Z0-9_]+=", command) else []


MISUNDERSTOOD = (
    "command not found|syntax error|Traceback|unrecognized arguments|unknown (flag|shorthand|command)|a resource type"
)
A_MESSAGE = (
    "$(aws s3 ls \"s3://$(setting S3_BUCKET_NAME)/quarantine/$(date -u +%Y)/\" | tail -1 | awk -F/ '{print $NF}')"
)

NOTHING = r"\A\Z"
RED = r'"receiving": {\s+"status": "failing"'
# For each entry the state that it is for, and what its commands print there, in order.
EXPECTED = {
    "EmailProcessorAbsent": (
        "crashing",
        [r"CrashLoopBackOff +\d", "2 total.*2 unavailable", "SQS_QUEUE_URL: is required"],
    ),
    "EmailProcessorStopped": ("SQS denied", ["0/1", "failing.*denied.*fix", "FAIL"]),
    "EmailProcessorNotConsuming": ("SQS denied", ["failing.*denied", "FAIL", RED]),
    "EmailProcessorCircuitOpen": ("S3 denied", ['"part":"storing".*denied', "FAIL.*s3:", "BucketRegion"]),
    "EmailProcessorPayloadCircuitOpen": (
        "bodies missing",
        ['"part":"fetching".*not-there.*fix', r'"fetching": {\s+"status": "failing"', "circuits_open 1"],
    ),
    "EmailProcessorLatencyBurn": ("green", ["process_cpu_seconds_total [0-9.]+", "No resources", ""]),
    "EmailProcessorLatencyBurnSlow": ("green", ["process_cpu_seconds_total [0-9.]+", NAME, "^30$"]),
    "EmailProcessorBacklogGrowing": ("green", [NAME, "process_resident_memory_bytes [0-9.]+", ""]),
    "EmailProcessorQuarantine": ("green", [r'reason="not_json"} 1', r"\.json", '"reason"']),
    "EmailProcessorLeasesLost": ("green", [NOTHING, "ok   EP", "process_cpu_seconds_total [0-9.]+"]),
    "EmailProcessorRedeliveries": ("crashing", [r"CrashLoopBackOff +\d", "SQS_QUEUE_URL: is required", "Attributes"]),
    "EmailProcessorAwsErrors": ("SQS denied", ["failing.*denied", "FAIL", "ReceiveMessage.*denied.* [1-9]"]),
    "EmailProcessorThrottled": ("green", ["upload_concurrency_limit [0-9.]+", NAME, ""]),
    "EmailProcessorDeletesFailing": ("green", [NOTHING, "ok   EP", r'deletes_total{outcome="failed"} 0']),
    "EmailProcessorNotReady": ("SQS denied", ["0/1", RED, "failing.*denied"]),
    "The dead-letter queue": ("green", ["for the quarantine: not_json", "1 received, 1 quarantined"]),
    # of what was on the queue and what was on the dead-letter queue
    "Replaying the quarantine": ("green", ["not_json +2 ", "2 still no email", "2 still no email"]),
}


def headings_of(state: str) -> list[str]:
    """The entries that are for a state."""
    return [heading for heading, (meant, _) in EXPECTED.items() if meant == state]
