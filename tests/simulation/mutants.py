"""Deliberate bugs, to see that the simulation has teeth: the pipeline with one line of its source done wrong."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from unittest import mock

from tests.simulation.rules import Rule

ROOMS = ("email_processor.pipeline", "tests.simulation", "tests.unit.pipeline")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: in `module` of the pipeline, `old` (which is there once) reads `new`.

    Each of `rules` must notice; `gap` is the longest run of seeds that one of them missed when that was last measured.
    """

    name: str
    module: str
    old: str
    new: str
    rules: tuple[Rule, ...]
    gap: int

    def __str__(self) -> str:
        return self.name

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Run the pipeline with this bug."""
        module = importlib.import_module(f"email_processor.pipeline.{self.module}")
        before = dict(vars(module))
        own = {name: it for name, it in before.items() if getattr(it, "__module__", None) == module.__name__}
        users = [(user, name) for name, it in own.items() for user in _users(name, it) if user is not module]
        try:
            _MutatingLoader(self, module).exec_module(module)
            with ExitStack() as patches:
                for user, name in users:
                    patches.enter_context(mock.patch.object(user, name, vars(module)[name]))
                yield
        finally:
            vars(module).clear()
            vars(module).update(before)


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
        assert 1 == source.count(self._mutant.old), f"{self._mutant.name}: {fullname} was changed, mend the mutant"
        code: CodeType = self.source_to_code(source.replace(self._mutant.old, self._mutant.new), "<mutant>")
        return code


MUTANTS = (
    Mutant(
        "delete before PUT",
        "uploader",
        "            outcome = await archive(job)\n",
        "            self._receipts.put_nowait(job.delivery)\n            outcome = await archive(job)\n",
        (Rule.DURABLE_FIRST, Rule.NOTHING_LOST),
        24,
    ),
    Mutant(
        "lease not renewed in the local queue",
        "ledger",
        "        return not (self.lost or",
        '        return not (self.state.name == "QUEUED" or self.lost or',
        (Rule.LEASE,),
        27,
    ),
    Mutant(
        "lease not renewed at all",
        "ledger",
        "        return not (self.lost or",
        "        return not (True or self.lost or",
        (Rule.LEASE,),
        10,
    ),
    Mutant(
        "circuit that nacks",
        "leases",
        "            due = self._due(self._common.ledger)\n",
        "            if not self._common.circuit.is_trusted:\n"
        '                await self.give_back([it for it in self._common.ledger if it.state.name == "QUEUED"])\n'
        "            due = self._due(self._common.ledger)\n",
        (Rule.NO_NACK,),
        30,
    ),
    Mutant(
        "budget off by one batch",
        "ledger",
        "receives = self._reserved + 1",
        "receives = self._reserved",
        (Rule.BUDGET,),
        4,
    ),
    Mutant(
        "receives not reserved",
        "ledger",
        "        self._reserved += 1\n",
        "        self._reserved += 0\n",
        (Rule.BUDGET,),
        4,
    ),
    Mutant(
        "task_done before the delete",
        "deleter",
        "        return batch\n\n    async def _settle",
        "        self._done = getattr(self, '_done', self._receipts.task_done)\n"
        "        self._receipts.task_done = lambda: None\n"
        "        [self._done() for _ in batch]\n"
        "        return batch\n\n    async def _settle",
        (Rule.GIVEN_BACK,),
        528,
    ),
    Mutant(
        "failed entries ignored",
        "deleter",
        "        if verdict is Verdict.FAILED:\n",
        "        if verdict is None:\n",
        (Rule.LEASE,),
        188,
    ),
    Mutant(
        "retry that gives up",
        "storing",
        "            evidence.failures >= self.failures_least\n",
        "            evidence.failures >= self.failures_least\n"
        "            or evidence.failures >= self.failures_least\n",
        (Rule.LEASE, Rule.NO_RECEIVE_IN_OUTAGE),
        75,
    ),
    Mutant(
        "412 treated as a failure",
        "storing",
        "self._archive.put(key, make_document()))\n",
        "self._archive.put(key, make_document()))\n"
        "                if stored is Stored.ALREADY_THERE:\n"
        "                    raise StoreFaultError(Cause.SERVER, 'PutObject: 412')\n",
        (Rule.DRAINED,),
        6,
    ),
    Mutant(
        "workers leave before the last receive lands",
        "run",
        "        await asyncio.wait(receiving)\n",
        "",
        (Rule.GIVEN_BACK,),
        343,
    ),
    Mutant(
        "held only long after it was received",
        "receiver",
        "            self._take(messages)\n",
        "            await asyncio.sleep(40)\n            self._take(messages)\n",
        (Rule.LEASE, Rule.NO_GOOD_MAIL_ASIDE, Rule.DRAINED),
        34,
    ),
    Mutant(
        "receives in an outage",
        "receiver",
        "self._common.circuit.is_trusted and ",
        "",
        (Rule.NO_RECEIVE_IN_OUTAGE,),
        20,
    ),
    Mutant(
        "in doubt only when open",
        "circuit",
        "        self._trusted.clear()\n",
        "        if self._failures_in_a_row >= FAILURES_TO_OPEN:\n            self._trusted.clear()\n",
        (Rule.NO_RECEIVE_IN_OUTAGE,),
        32,
    ),
    Mutant(
        "circuit that never closes",
        "circuit",
        "        self._set_open(is_open=False)\n",
        "",
        (Rule.READY,),
        32,
    ),
    Mutant(
        "renewing ends when the stop begins",
        "run",
        "        await asyncio.wait(receiving)\n",
        "        await asyncio.wait(receiving)\n        renewing.cancel()\n",
        (Rule.LEASE,),
        436,
    ),
    Mutant(
        "delete beside a renewal",
        "ledger",
        "                if delivery.renewal is not None:\n",
        "                if delivery.renewal is not None and delivery is None:\n",
        (Rule.NO_RACE,),
        209,
    ),
    Mutant(
        "renewal beside a delete",
        "ledger",
        "            delivery.is_closing = True",
        "            delivery.is_closing = False",
        (Rule.NO_RACE,),
        263,
    ),
    Mutant(
        "key dated by the clock",
        "ledger",
        "moment=message.moment(self._clock.wall())",
        "moment=Message(message.message_id, '', b'').moment(self._clock.wall())",
        (Rule.ONE_OBJECT,),
        7,
    ),
    Mutant(
        "retries without a pause",
        "waiting",
        "return self._uniform(ceiling / 10, ceiling)",
        "return ceiling / 1000",
        (Rule.NO_STORM,),
        20,
    ),
    Mutant(
        "a call that waits for ever",
        "calls",
        "self._deadlines.within(seconds, request)",
        "self._deadlines.within(86_400 * 365, request)",
        (Rule.DRAINED, Rule.ALIVE),
        34,
    ),
    Mutant(
        "a fault of the queue ends the process",
        "receiver",
        "            except QueueFaultError as fault:\n                self._common.health.failed(",
        "            except QueueFaultError as fault:\n"
        "                if fault.cause.needs_a_person:\n"
        "                    raise\n"
        "                self._common.health.failed(",
        (Rule.CLEAN,),
        22,
    ),
    Mutant(
        "grace without end",
        "run",
        "asyncio.timeout_at(deadline)",
        "asyncio.timeout_at(None if deadline else deadline)",
        (Rule.STOP_IN_TIME,),
        30,
    ),
    Mutant(
        "nothing given back",
        "run",
        "leases.give_back([",
        "leases.give_back(() and [",
        (Rule.GIVEN_BACK,),
        201,
    ),
    Mutant(
        "old receipt handle kept",
        "ledger",
        "            known.receipt_handle = message.receipt_handle\n",
        "",
        (Rule.LEASE,),
        99,
    ),
    Mutant(
        "archived and forgotten",
        "ledger",
        "        if message.message_id in self._remembered:\n",
        "        if message.message_id in ():\n",
        (Rule.ONE_PUT,),
        400,
    ),
    Mutant(
        "corrupt message archived",
        "receiver",
        "            if not message.is_intact:\n",
        "            if message is None:\n",
        (Rule.NO_GOOD_MAIL_ASIDE, Rule.ONE_OBJECT),
        139,
    ),
    Mutant(
        "upload slot never given back",
        "limiter",
        "        self._running -= 1\n",
        "        self._running -= 0\n",
        (Rule.DRAINED,),
        6,
    ),
    Mutant(
        "receive begun after the stop",
        "receiver",
        "            if self._stopping.is_set():  #",
        "            if self._stopping is None:  #",
        (Rule.NO_RECEIVE_AFTER_STOP,),
        773,
    ),
    Mutant(
        "a doubt that outlives those who could clear it",
        "circuit",
        "            if not self._trying:\n",
        "            if self._trying is None:\n",
        (Rule.DRAINED,),
        1006,
    ),
    Mutant(
        "cancellation swallowed",
        "uploader",
        "        except Exception as error:  #",
        "        except BaseException as error:  #",
        (Rule.STOP_IN_TIME, Rule.LEASE),
        148,
    ),
)
