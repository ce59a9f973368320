"""The command itself, as people and CronJobs run it."""

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any

from email_processor.tools.check.codes import CHECKS, Group
from tests.integration.tools.check.aws import ROLE, PermittedAws
from tests.support.aws_answers import CallFault
from tests.support.emulators import BIN, SECRET_KEY


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The output, as JSON."""
        return json.loads(self.output)


async def run(*options: str, **variables: str) -> Ran:
    """Run `email-processor check` with these options, and with variables on top of the environment."""
    process = await asyncio.create_subprocess_exec(
        BIN / "email-processor",
        "check",
        *options,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, output.decode(), errors.decode())


async def test_all_well(permitted: PermittedAws) -> None:
    """Exit code 0, lines that can be pasted, nothing beside them, no colour and no secret."""
    ran = await run("--strict")
    assert (0, "") == (ran.code, ran.errors)
    assert ["email-processor 1.0.0 check", "  region    us-east-1"] == ran.output.splitlines()[:2]
    assert f"  identity  {ROLE}" in ran.output
    assert "\x1b" not in ran.output
    assert SECRET_KEY not in ran.output


async def test_warning(permitted: PermittedAws) -> None:
    """A warning is no failure unless asked for."""
    permitted.deny("ChangeMessageVisibilityBatch")
    assert (0, 1) == ((await run()).code, (await run("--strict")).code)


async def test_failure(permitted: PermittedAws) -> None:
    """A failure is exit code 1, with its fix."""
    permitted.deny("DeleteMessageBatch")
    ran = await run()
    assert 1 == ran.code
    assert "FAIL EP306 sqs:DeleteMessage" in ran.output
    assert "Add to the policy of the role archiver:" in ran.output


async def test_wrong_settings(permitted: PermittedAws) -> None:
    """Wrong settings are exit code 2, after everything else was looked at."""
    ran = await run(HTTP_PORT="many")
    assert 2 == ran.code
    assert "FAIL EP101 HTTP_PORT" in ran.output
    assert "ok   EP306 sqs:DeleteMessage" in ran.output


async def test_json(permitted: PermittedAws) -> None:
    """One document, with a finding for each check."""
    ran = await run("--json", "--write")
    assert (0, "") == (ran.code, ran.errors)
    assert [check.code for check in CHECKS] == [finding["code"] for finding in ran.json["findings"]]
    assert 0 == ran.json["summary"]["failed"]


async def test_work_that_was_shown(permitted: PermittedAws) -> None:
    """With --write all of it is, by a server that is not AWS too; without, the last line says what is not."""
    assert (await run("--write")).output.endswith(" skipped. The service can do its work.\n")
    assert "not shown that it can receive and store; --write receives" in (await run()).output.splitlines()[-1]


async def test_json_with_wrong_settings() -> None:
    """The document is complete for wrong settings, too."""
    ran = await run("--json", "--offline")
    assert 2 == ran.code
    assert {"settings"} == {finding["group"] for finding in ran.json["findings"]}
    assert (None, None) == (ran.json["queue"], ran.json["bucket"])


async def test_offline(permitted: PermittedAws) -> None:
    """Only the settings are looked at: nobody is asked, and nothing is said of what they could have answered."""
    ran = await run("--offline")
    assert 0 == ran.code
    assert [] == permitted.operations
    assert "can do its work" not in ran.output
    assert [check.code for check in CHECKS if check.group is Group.SETTINGS] == [
        line[5:10] for line in ran.output.splitlines() if line.startswith("ok ")
    ]


async def test_colour(permitted: PermittedAws) -> None:
    """Who asks for colour gets it."""
    assert "\x1b[" in (await run("--offline", FORCE_COLOR="1")).output


async def test_trouble_is_quiet(permitted: PermittedAws) -> None:
    """What goes wrong is in the report, and not on stderr as well."""
    permitted.instead |= {"GetQueueAttributes": CallFault.RESET, "ListObjectsV2": CallFault.CUT}
    ran = await run()
    assert (1, "") == (ran.code, ran.errors)


async def test_help() -> None:
    """The options are explained."""
    ran = await run("--help")
    assert 0 == ran.code
    for option in ("--write", "--offline", "--strict", "--json"):
        assert option in ran.output
