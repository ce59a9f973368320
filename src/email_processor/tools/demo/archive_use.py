"""The end of the tour: what was archived is used, by the commands that come with the service, as processes."""

import asyncio
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape

from email_processor.domain.document import quarantine_document
from email_processor.domain.errors import Reason, UnarchivableError
from email_processor.domain.key import quarantine_key
from email_processor.domain.message import Message
from email_processor.tools.demo.cloud import BUCKET
from email_processor.tools.demo.proof import Claim
from email_processor.tools.demo.tour import Demo
from email_processor.tools.send.samples.generate import Recipe, samples

RELEASED = 4
COLUMNS = 150
OF_AN_OLDER_RELEASE = UnarchivableError(Reason.WRONG_TYPE, "an older release could not read it")


async def use_archive(stage: Demo, environ: Mapping[str, str]) -> Claim:
    """Find a mail, show it, group the quarantine, and release what only an older release could not read."""
    screen = stage.screen
    emails = [version.key for version in await stage.account.versions() if not version.key.startswith("quarantine/")]
    screen.heading("The archive, used")
    if emails:
        _, year, month, day, folder, _ = emails[0].split("/")
        await _run(stage, environ, "find", "--from", folder, "--day", f"{year}-{month}-{day}")
        await _run(stage, environ, "show", emails[0])
    ids = await _quarantine_good_ones(stage)
    screen.say(
        f"  {RELEASED} more are put into quarantine, as an older release that could not read them would have done."
    )
    await _run(stage, environ, "quarantine", "ls")
    screen.say("  This release reads them. So they are released, under the ids that they had.")
    await _run(stage, environ, "quarantine", "release", "--reason", Reason.WRONG_TYPE.value, "--because", "the fix")
    keys = [version.key for version in await stage.account.versions() if version.message_id in ids]
    good = [key for key in keys if not key.startswith("quarantine/")]
    left = await stage.account.quarantined(ids)
    return Claim(
        f"Released: {len(good)} of {RELEASED} messages that a fix made readable are archived once, and {left} of them "
        "are left in quarantine",
        (len(good), left) == (RELEASED, 0),
    )


async def _quarantine_good_ones(stage: Demo) -> list[str]:
    """Put emails into quarantine, as an older release would have; their message ids."""
    now = datetime.now(UTC).replace(microsecond=0)
    ids = []
    for number, sample in enumerate(samples(RELEASED, Recipe(seed=7))):
        message = Message(f"older{number}", "", sample.body.encode(), attributes={"ApproximateReceiveCount": "1"})
        document = quarantine_document(message, OF_AN_OLDER_RELEASE, now, "0.9.0")
        key = quarantine_key("quarantine", now, message.message_id)
        await stage.account.s3.put_object(Bucket=BUCKET, Key=key, Body=document)
        ids.append(message.message_id)
    return ids


async def _run(stage: Demo, environ: Mapping[str, str], *arguments: str) -> None:
    """Run a command, and show how it was called and the beginning of what it printed."""
    stage.screen.say(f"  [bold]$ email-processor {escape(shlex.join(arguments))}[/]")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # else the working directory could stand in for the standard library
        *("-m", "email_processor", *arguments),
        env=dict(environ),
        cwd=Path(__file__).parent,  # where there is no .env file
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    head, _, content = printed.decode(errors="replace").partition("\n\n")  # what a mail says is nobody's business here
    more = ["... and what it says"] if content else []
    _show(stage, [*head.splitlines(), *more, *said.decode(errors="replace").splitlines()[-1:]])


def _show(stage: Demo, lines: Sequence[str]) -> None:
    for line in lines:
        shown = line if len(line) <= COLUMNS else f"{line[:COLUMNS]}..."
        stage.screen.say(f"    {escape(shown)}", style="dim")
