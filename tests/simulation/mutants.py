"""Deliberate bugs, to see that the simulation has teeth: pipeline and tools with one line of their source done wrong.

The line has a marker in the source: `# mutant: NAME` at its end, or `# mutant of the next line: NAME` above it.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from textwrap import indent
from types import CodeType, ModuleType
from unittest import mock

from email_processor import pipeline
from email_processor.tools import archive
from tests.simulation.rules import RESCUE_RULES, Rule
from tests.simulation.story import Story

ROOMS = ("email_processor.pipeline", "email_processor.tools.archive", "tests.simulation", "tests.unit.pipeline")
MARKED = (pipeline, archive)  # the rooms with markers
MARKER = re.compile(r"# mutant(?: of the next line)?: ([a-z-]+)$", re.MULTILINE)

RESCUE_DAY = "operators archive what was left"

Change = Callable[[str], str]  # the marked line without its indentation, to the lines that stand in its place


def before(lines: str) -> Change:
    """Do something else first."""
    return lambda line: f"{lines}\n{line}"


def after(lines: str) -> Change:
    """Do something else afterwards."""
    return lambda line: f"{line}\n{lines}"


def instead(lines: str) -> Change:
    """Do something else."""
    return lambda _: lines


def nothing(_line: str) -> str:
    """Do not do it."""
    return "pass"


def reading(old: str, new: str) -> Change:
    """Let one part of the line read otherwise."""

    def change(line: str) -> str:
        assert 1 == line.count(old), f"{old} is not once in {line}"
        return line.replace(old, new)

    return change


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: in `module` of a `room`, the line with the `marker` is changed. Each of `rules` must notice.

    It is looked for in seeds, or on the `day` of `hard_days` that was written for it.
    """

    name: str
    module: str
    marker: str
    change: Change
    rules: tuple[Rule, ...]
    day: str | None = None
    room: ModuleType = pipeline

    @property
    def path(self) -> Path:
        """Where the module is."""
        return Path(self.room.__file__ or "").with_name(f"{self.module}.py")

    def __str__(self) -> str:
        return self.name

    def can_show(self, story: Story) -> bool:
        """Whether it can be noticed in a story: bugs of operators' commands only if there are operators."""
        return story.rescue is not None or RESCUE_RULES.isdisjoint(self.rules)

    def apply(self, source: str) -> str:
        """The module's source with the bug in it."""
        lines = source.split("\n")
        marked = [index for index, line in enumerate(lines) if MARKER.findall(line) == [self.marker]]
        assert 1 == len(marked), f"{self.module} has the marker {self.marker} {len(marked)} times"
        index = marked[0]
        if lines[index].lstrip().startswith("#"):
            index += 1
        code = lines[index].lstrip()
        margin = lines[index].removesuffix(code)
        lines[index] = indent(self.change(code.partition("  #")[0]), margin)
        return "\n".join(lines)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Run it with this bug."""
        module = importlib.import_module(f"{self.room.__name__}.{self.module}")
        original = dict(vars(module))
        own = {name: it for name, it in original.items() if getattr(it, "__module__", None) == module.__name__}
        users = [(user, name) for name, it in own.items() for user in _users(name, it) if user is not module]
        try:
            _MutatingLoader(self, module).exec_module(module)
            with ExitStack() as patches:
                for user, name in users:
                    patches.enter_context(mock.patch.object(user, name, vars(module)[name]))
                yield
        finally:
            vars(module).clear()
            vars(module).update(original)


def _users(name: str, value: object) -> list[ModuleType]:
    """The modules that know something by its name."""
    modules = [module for module_name, module in sys.modules.items() if module_name.startswith(ROOMS)]
    return [module for module in modules if vars(module).get(name) is value]


class _MutatingLoader(SourceFileLoader):
    """Loads a module with one line done wrong, under no file name, so that no coverage is counted for it."""

    def __init__(self, mutant: Mutant, original: ModuleType) -> None:
        assert original.__file__ is not None
        super().__init__(original.__name__, original.__file__)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        code: CodeType = self.source_to_code(self._mutant.apply(source), f"<{fullname}: {self._mutant}>")
        return code


MUTANTS = (
    Mutant(
        "delete before PUT",
        "uploader",
        "stored-first",
        before("self._receipts.add(job.delivery)"),
        (Rule.DURABLE_FIRST, Rule.NOTHING_LOST),
    ),
    Mutant(
        "lease not renewed in the local queue",
        "ledger",
        "renewable",
        reading("not self.lost", "self.state not in (State.QUEUED, State.FAILED) and not self.lost"),
        (Rule.LEASE,),
    ),
    Mutant("lease not renewed at all", "ledger", "renewable", reading("not self.lost", "False"), (Rule.LEASE,)),
    Mutant(
        "one backoff for all leases",
        "leases",
        "waits-alone",
        after(
            "self._slow = getattr(self, '_slow', None) or self._context.new_backoff()\n"
            "late = self._context.clock.monotonic() + self._slow.next()\n"
            "[setattr(it, 'not_before', late) for it in self._context.ledger]"
        ),
        (Rule.LEASE,),
        day="some leases cannot be renewed in an outage of S3",
    ),
    Mutant(
        "renewals that wait for S3",
        "leases",
        "only-renewed",
        before("await self._context.circuit.allowed(2)"),
        (Rule.LEASE,),
    ),
    Mutant(
        "credentials refused once are refused for ever",
        "calls",
        "call-refused",
        after(
            "if outcome is Cause.CREDENTIALS:\n"
            "    self._kinds = {it: kind._replace(seconds=0.0) for it, kind in self._kinds.items()}"
        ),
        (Rule.READY, Rule.DRAINED),
    ),
    Mutant(
        "payload blamed for its bucket",
        "fetching",
        "payload-blamed",
        reading("bucket.blames(it)", "it.tries"),
        (Rule.NO_GOOD_MAIL_ASIDE,),
        day="a payload bucket is denied",
    ),
    Mutant(
        "payloads without a share",
        "fetching",
        "share-of-payloads",
        reading("len(waiting) <= messages and left >= 0", "waiting is not None"),
        (Rule.NOBODY_HELD_UP,),
        day="a payload bucket does not answer",
    ),
    Mutant(
        "payloads hidden for as long as it takes",
        "fetching",
        "hidden-in-time",
        reading("HIDING_SECONDS", "None"),
        (Rule.NOBODY_HELD_UP,),
        day="a payload bucket is denied, and not all can be hidden",
    ),
    Mutant(
        "circuit that nacks",
        "leases",
        "only-renewed",
        before(
            "if not self._context.circuit.allowance:\n"
            '    await self.give_back([it for it in self._context.ledger if it.state.name == "QUEUED"])'
        ),
        (Rule.NO_NACK,),
    ),
    Mutant("budget off by one batch", "room", "room-for-one-more", reading(" + 1", ""), (Rule.BUDGET,)),
    Mutant("receives not reserved", "room", "receive-reserved", reading("1", "0"), (Rule.BUDGET,)),
    Mutant(
        "receipts settled before the delete",
        "receipts",
        "collected",
        before(
            "self._settle_now = getattr(self, '_settle_now', self.settle)\n"
            "self.settle = lambda count: None\n"
            "self._settle_now(min(BATCH, len(self._waiting)))"
        ),
        (Rule.GIVEN_BACK,),
    ),
    Mutant("failed entries ignored", "deleter", "failed-entry", reading("Verdict.FAILED", "None"), (Rule.LEASE,)),
    Mutant(
        "retry that gives up",
        "uploader",
        "blamed-with-others",
        instead("if history.has_failed:"),
        (Rule.LEASE, Rule.NO_GOOD_MAIL_ASIDE),
    ),
    Mutant(
        "412 treated as a failure",
        "storing",
        "found-is-stored",
        after("if stored is Stored.ALREADY_THERE:\n    raise StoreFaultError(Cause.SERVER, 'PutObject: 412')"),
        (Rule.DRAINED,),
    ),
    Mutant("workers leave before the last receive lands", "run", "receivers-awaited", nothing, (Rule.GIVEN_BACK,)),
    Mutant(
        "held only long after it was received",
        "receiver",
        "taken-at-once",
        before("await asyncio.sleep(40)"),
        (Rule.LEASE, Rule.NO_GOOD_MAIL_ASIDE, Rule.DRAINED),
    ),
    Mutant(
        "receives in an outage",
        "receiver",
        "cleared",
        reading("self._context.circuit.allowance >= least and ", ""),
        (Rule.NO_RECEIVE_IN_OUTAGE,),
    ),
    Mutant(
        "in doubt only when open",
        "circuit",
        "in-doubt",
        instead("if len(self._failed) >= FAILURES_TO_OPEN - 1:\n    self._doubt()"),
        (Rule.NO_RECEIVE_IN_OUTAGE,),
    ),
    Mutant(
        "start without a look at the store",
        "circuit",
        "begun-in-doubt",
        reading("NOTHING", "EVERYTHING"),
        (Rule.NO_RECEIVE_IN_OUTAGE, Rule.FEW_AT_START),
        day="replacements while nothing can be stored",
    ),
    Mutant(
        "probe object that proves nothing",
        "circuit",
        "probe-object-stored",
        nothing,
        (Rule.NOBODY_HELD_UP,),
        day="one refused object on a quiet queue",
    ),
    Mutant("circuit that never closes", "circuit", "closed", nothing, (Rule.READY,)),
    Mutant("renewing ends when the stop begins", "run", "receivers-awaited", after("renewing.cancel()"), (Rule.LEASE,)),
    Mutant(
        "delete beside a renewal",
        "ledger",
        "renewal-awaited",
        reading("not None", "not None and delivery is None"),
        (Rule.NO_RACE,),
    ),
    Mutant("renewal beside a delete", "ledger", "no-renewal-from-here", reading("True", "False"), (Rule.NO_RACE,)),
    Mutant(
        "key dated by the clock",
        "uploader",
        "dated-by-the-queue",
        reading("message.moment", "Message(message.message_id, '', b'').moment"),
        (Rule.ONE_OBJECT,),
    ),
    Mutant(
        "key dated by the first receive of each copy",
        "uploader",
        "dated-by-the-queue",
        reading("self._rules.key_time", "'first_receive'"),
        (Rule.ONE_OBJECT,),
    ),
    Mutant("retries without a pause", "waiting", "pause-drawn", instead("return ceiling / 1000"), (Rule.NO_STORM,)),
    Mutant(
        "a call that waits for ever",
        "calls",
        "call-bounded",
        reading("seconds", "86_400 * 365"),
        (Rule.DRAINED, Rule.ALIVE),
    ),
    Mutant(
        "a fault of the queue ends the process",
        "receiver",
        "receive-failed",
        after("    if fault.cause.needs_a_person:\n        raise"),
        (Rule.CLEAN,),
    ),
    Mutant(
        "grace without end",
        "run",
        "deadline-set",
        reading("deadline", "None if deadline else deadline"),
        (Rule.STOP_IN_TIME,),
    ),
    Mutant("nothing given back", "run", "given-back", reading("[it", "() and [it"), (Rule.GIVEN_BACK,)),
    Mutant("old receipt handle kept", "ledger", "newest-handle", nothing, (Rule.LEASE,)),
    Mutant(
        "overtaken receipt handle taken for the newest",
        "ledger",
        "overtaken",
        reading("message.receive_count >= known.receive_count", "True"),
        (Rule.LEASE,),
        day="an answer is overtaken by that of a later receive",
    ),
    Mutant("archived and forgotten", "ledger", "remembered", reading("self._remembered", "()"), (Rule.ONE_PUT,)),
    Mutant(
        "corrupt message archived",
        "receiver",
        "intact",
        reading("not message.is_intact", "message is None"),
        (Rule.NO_GOOD_MAIL_ASIDE, Rule.ONE_OBJECT),
    ),
    Mutant(
        "upload slot never given back",
        "limiter",
        "slot-given-back",
        reading("1", "0"),
        (Rule.DRAINED, Rule.NOBODY_HELD_UP),
    ),
    Mutant(
        "receive begun after the stop",
        "receiver",
        "stopped-meanwhile",
        reading("self._stopping.is_set()", "self._stopping is None"),
        (Rule.NO_RECEIVE_AFTER_STOP,),
    ),
    Mutant(
        "long poll cut off by a stop",
        "run",
        "long-poll-awaited",
        reading("last", "min(last, deadline - plan.grace + 2)"),
        (Rule.LAST_RECEIVE,),
    ),
    Mutant(
        "a doubt that nobody clears",
        "circuit",
        "probe-wanted",
        instead("if self._is_open:"),
        (Rule.DRAINED,),
    ),
    Mutant(
        "cancellation swallowed",
        "uploader",
        "errors-only",
        reading("Exception", "BaseException"),
        (Rule.STOP_IN_TIME, Rule.LEASE),
    ),
    Mutant(
        "released under a new key",
        "release",
        "under-its-key",
        reading("rules.prefix", 'f"{rules.prefix}/new"'),
        (Rule.ONE_OBJECT, Rule.RESCUED),
        room=archive,
    ),
    Mutant(
        "quarantine object deleted before its email is stored",
        "release",
        "stored-first",
        before("await reader.delete(held_message.key)"),
        (Rule.HELD_UNTIL_READ_BACK,),
        room=archive,
    ),
    Mutant(
        "quarantine object deleted before the read-back",
        "release",
        "read-back",
        before("await reader.delete(held_message.key)"),
        (Rule.HELD_UNTIL_READ_BACK,),
        room=archive,
    ),
    Mutant(
        "quarantine object deleted though something else was read back",
        "release",
        "conflict-kept",
        instead("pass"),
        (Rule.HELD_UNTIL_READ_BACK, Rule.RESCUED),
        day=RESCUE_DAY,
        room=archive,
    ),
    Mutant(
        "quarantine object kept if its email was there already",
        "release",
        "taken-out",
        reading("not rules.keep", "not rules.keep and stored is Stored.CREATED"),
        (Rule.RESCUED, Rule.COMMAND_TELLS),
        day=RESCUE_DAY,
        room=archive,
    ),
    Mutant(
        "release that counts what was there already",
        "release",
        "told-apart",
        instead("return ReleaseOutcome.RELEASED"),
        (Rule.COMMAND_TELLS,),
        day=RESCUE_DAY,
        room=archive,
    ),
    Mutant(
        "release that ends at the first listing",
        "reader",
        "next-page",
        reading("page.is_last", "page"),
        (Rule.RESCUED,),
        day=RESCUE_DAY,
        room=archive,
    ),
    Mutant(
        "dead letter deleted before it is stored",
        "uploader",
        "stored-first",
        before("self._receipts.add(job.delivery)"),
        (Rule.DEAD_UNTIL_STORED,),
        day=RESCUE_DAY,
    ),
    Mutant(
        "dead letters of others not waited for",
        "dead",
        "hidden-awaited",
        instead("end = DrainEnd()\nif is_over:"),
        (Rule.COMMAND_TELLS,),
        day=RESCUE_DAY,
        room=archive,
    ),
    Mutant(
        "dead letters waited for without end",
        "dead",
        "done-at-last",
        reading("quiet >= QUIET_SECONDS", "quiet < 0"),
        (Rule.COMMAND_TELLS,),
        day=RESCUE_DAY,
        room=archive,
    ),
)
