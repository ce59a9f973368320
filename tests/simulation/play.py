"""Playing a story: its faults, then a time without any in which everything must come right, then a clean stop."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

from tests.simulation.check_intake import IntakeChecks
from tests.simulation.check_leases import LeaseChecks
from tests.simulation.check_lives import BACKOFF_SECONDS, LifeChecks
from tests.simulation.check_objects import ObjectChecks
from tests.simulation.check_progress import ProgressChecks
from tests.simulation.check_rescue import RescueChecks
from tests.simulation.connection import Facts, What, message_id_of
from tests.simulation.fault_schedule import StoryFaultSchedule
from tests.simulation.loop import TICKS, Driver, Loop, ticks
from tests.simulation.mails import FAILING, HEALTHY, HOPELESS, Sent, write
from tests.simulation.operators import Operators
from tests.simulation.process import Process, watched
from tests.simulation.rescue import Rescue
from tests.simulation.rules import Rule, Scene, Violation
from tests.simulation.situations import Situations
from tests.simulation.story import Fault, Kind, Mail, Story, draw
from tests.simulation.world import SimBucket, SimMessage, SimQueue

DRAIN_SECONDS = 600.0
SETTLE_SECONDS = 60.0  # at least: for what was deleted by one process and is still in the hands of another
STOP_SECONDS = 120.0
SURE_SECONDS = 2000  # in which it is found out that an object is refused, and not all
OWN_RECEIVES = 3  # after which what fails for its own reasons is done with, if the queue does not say how many
LOOK_SECONDS = 5.0  # between two looks at the health of all processes
STEPS_MAX = 400_000  # of a day on which nothing has to be tried for hours until it is done with
STEPS_A_SECOND = 20  # more for each second of that


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a story."""

    story: Story
    violations: tuple[Violation, ...]
    digest: str
    steps: int
    seconds: float
    calls: dict[str, int]
    process_steps: int  # of the first process
    situations: frozenset[str]

    @property
    def is_good(self) -> bool:
        """Whether every rule held."""
        return not self.violations

    def __str__(self) -> str:
        return "\n".join([str(self.story), *(f"{violation}" for violation in self.violations[:5])])


def play(story: Story) -> Played:
    """Play a story to its end."""
    with watched(), _silent_logs():
        return Simulation(story).play()


class Simulation:
    """One run."""

    def __init__(self, story: Story) -> None:
        """Set the scene."""
        settings = story.settings
        self.story = story
        self.driver = driver = Driver(story.seed if story.shuffled else None)
        self.facts = Facts(driver)
        self.queue = SimQueue(
            driver,
            visibility_timeout=settings.visibility_timeout,
            max_receive_count=settings.max_receive_count,
            in_flight_max=settings.queue_in_flight_max,
            is_fifo=settings.fifo,
            deletes_stale=settings.deletes_stale,
            notices_hang_up=settings.notices_hang_up,
            rank=(lambda handle: draw(story.seed, "rank", handle)) if settings.ranked else lambda _: 0.0,
            facts=self.facts,
        )
        self.bucket = SimBucket(driver, self.facts, is_conditional=settings.conditional)
        self.bucket.refuses |= {"/refused/", "/refused-twice/"}
        self.bucket.fails |= {f"/{kind.replace(' ', '-')}/": cause for kind, cause in FAILING.items()}
        self.bucket.denied.add("payload denied/")
        self.schedule = StoryFaultSchedule(story, driver, self.facts, self._act)
        self.processes: dict[str, Process] = {}
        self.mails: dict[str, Sent] = {}
        self.scene = Scene(story, driver, self.facts, self.queue, self.bucket, self.processes, self.mails)
        self.objects = ObjectChecks(self.scene)
        self.leases = LeaseChecks(self.scene)
        self.intake = IntakeChecks(self.scene)
        self.progress = ProgressChecks(self.scene)
        self.life = LifeChecks(self.scene)
        self.situations = Situations(self.scene)
        self.operators = Operators(self.scene, self.mails)
        self.rescue = RescueChecks(self.scene, self.operators)
        self._is_closing = False
        self._steps_max = STEPS_MAX
        self._steps_to_kill_at = {
            (fault.process, fault.nth): fault for fault in story.faults if fault.kind is Kind.KILL_AT_STEP
        }

    def play(self) -> Played:
        """Play it to its end."""
        story, driver = self.story, self.driver
        for index, mail in enumerate(story.mails):
            driver.later(mail.at, self._send, index, mail)
        for life in story.lives:
            driver.later(life.start, self._start, life.stop)
        for fault in story.faults:
            self._plan(fault)
        if story.rescue is not None:
            self.operators.plan()
        if self._steps_to_kill_at or story.rescue is not None:
            driver.before_step = self._before_step
        driver.later(LOOK_SECONDS, self._look)
        driver.later(story.faults_until, driver.halt)
        driver.run(story.faults_until)
        self._clear_up()
        if self._drain() and story.rescue is not None:
            self.operators.finish()
            self.rescue.at_the_end()
        self._close()
        self.objects.at_the_end()
        self.life.at_the_end()
        self.facts.listeners.clear()
        steps, seconds = driver.steps, driver.seconds
        driver.clear()
        for process in self.processes.values():
            if process.loop.unfinished():
                self.scene.violate(Rule.CLEAN, f"{process.name} has tasks that cannot be cancelled")
        digest = blake2b(digest_size=8)
        digest.update(repr((steps, self.facts.log)).encode())
        if story.rescue is not None:
            digest.update(repr(self.operators.facts.log).encode())
        return Played(
            story,
            tuple(self.scene.violations),
            digest.hexdigest(),
            steps,
            seconds,
            dict(self.schedule.calls),
            self.processes["p1"].loop.steps if "p1" in self.processes else 0,
            frozenset(self.situations.seen | self.rescue.seen),
        )

    def _plan(self, fault: Fault) -> None:
        """Let happen at its time what is not about a call."""
        later, count = self.driver.later, len(self.story.mails)
        match fault.kind:
            case Kind.KILL | Kind.STOP | Kind.REPLACE | Kind.PAUSE | Kind.CLOCK:
                later(fault.at, self._happen, fault)
            case Kind.BURST:
                for index in range(count, count + fault.nth):
                    later(fault.at, self._send, index, Mail(fault.at))
            case Kind.DUPLICATE | Kind.COPY:
                later(fault.at, self._duplicate, f"m{fault.nth % count + 1}", fault.kind is Kind.COPY)
            case _:
                pass

    def _clear_up(self) -> None:
        """End the faults."""
        self.schedule.over = True
        self.operators.clear_up()
        self.driver.before_step = None
        self.facts.add(What.FAULTS_OVER)
        for process in self.processes.values():
            process.resume()
        if all(process.has_ended or process.stop_asked_at is not None for process in self.processes.values()):
            self._start(None)

    def _drain(self) -> bool:
        """Demand that nothing is left to be done, and then that every process is well; whether nothing is left."""
        driver, extra = self.driver, self._extra_seconds()
        seconds = DRAIN_SECONDS + extra
        deadline = driver.seconds + seconds
        self._steps_max = STEPS_MAX + int(STEPS_A_SECOND * extra)
        settled_with: list[SimMessage] | None = None
        # What is behind one that may wait can have its turn late, and even while all settles.
        while (left := self._left()) or settled_with != list(self.queue.live()):
            deadline = max(deadline, self._hidden_until(left) + seconds)
            if left and (driver.seconds >= deadline or driver.steps >= self._steps_max):
                handles = ", ".join(f"{it.handle} ({self.mails[it.message_id].kind})" for it in left)
                waited = driver.seconds - self.story.faults_until
                self.scene.violate(Rule.DRAINED, f"after {waited:g} s and {driver.steps} steps there is {handles}")
                return False
            settled_with = None if left else list(self.queue.live())
            driver.later(1.0 if left else self._settle_seconds, driver.halt)
            driver.run()
        for process in self.processes.values():
            self.life.check_well(process)
        return True

    @property
    def _settle_seconds(self) -> float:
        """How long a receive whose answer was lost takes to fail, the longest pause after it, and one more receive."""
        settings = self.story.settings
        return max(SETTLE_SECONDS, 2 * (settings.wait + settings.queue_timeout) + BACKOFF_SECONDS)

    def _hidden_until(self, left: list[SimMessage]) -> float:
        """When the last of them comes back that the queue hides for longer than a lease runs (seconds)."""
        soon = self.driver.now + ticks(self.story.settings.visibility_timeout)
        return max((it.visible_at for it in left if it.visible_at > soon), default=0) / TICKS

    def _left(self) -> list[SimMessage]:
        """What is to be done; not a payload that cannot be read, which waits, nor what the queue keeps back for it.

        That is what comes after it in its group, while it is in flight what comes before it, too, and everything while
        such messages are as many as the queue lets be in flight.
        """
        if self.queue.is_empty:
            return []
        live, in_flight = list(self.queue.live()), set(self.queue.in_flight)
        waiting = [it for it in live if self.mails[it.message_id].may_wait and it.message_id in in_flight]
        is_full = len(waiting) >= self.story.settings.queue_in_flight_max
        held = {it.group for it in waiting} - {None}
        left = []
        for message in live:  # those of a group in order
            if self.mails[message.message_id].may_wait:
                held |= {message.group} - {None}
            elif message.message_id in in_flight or not (is_full or message.group in held):
                left.append(message)
        return left

    def _extra_seconds(self) -> float:
        """What fails for its own reasons is only done with at its last receive, and takes turns until then.

        Asked of the story: what is sent when the faults end may not be among the mails yet.
        """
        settings, rescue = self.story.settings, self.story.rescue or Rescue()
        kinds = [*(mail.kind for mail in self.story.mails), *(leftover.kind for leftover in rescue.leftovers)]
        own = sum(kind not in HEALTHY for kind in kinds)
        receives = settings.max_receive_count or OWN_RECEIVES
        turns = own if settings.fifo else 1 + own // settings.queue_in_flight_max
        turn = settings.visibility_timeout + 10 * own
        if any(kind in FAILING for kind in kinds):
            turn += SURE_SECONDS
        return float(turns * turn * receives) if own else 0.0

    def _close(self) -> None:
        """Stop all processes."""
        self._is_closing = True
        for process in self.processes.values():
            process.ask_to_stop()
        self.driver.later(STOP_SECONDS, self.driver.halt)
        self.driver.run()
        for process in self.processes.values():
            if not process.has_ended:
                self.scene.violate(Rule.STOP_IN_TIME, f"{process.name} has not ended after {STOP_SECONDS:g} s")

    def _send(self, index: int, mail: Mail) -> None:
        sent = write(mail, index)
        group = f"g{index % 3}" if self.story.settings.fifo else None
        message_id = self.queue.next_id
        self.mails[message_id] = sent
        if sent.payload is not None and sent.is_healthy:
            self.bucket.payloads[sent.payload.bucket, sent.payload.key] = sent.raw.encode()
        if mail.kind in HOPELESS and not self.operators.is_mended:
            self.bucket.refuses.add(f"/{message_id}.json")
        self.queue.send(sent.body, group=group)

    def _start(self, stop: float | None) -> None:
        if self._is_closing:
            return
        process = Process(
            f"p{len(self.processes) + 1}", self.story, self.driver, self.queue, self.bucket, self.schedule
        )
        self.processes[process.name] = process
        process.start()
        assert process.main is not None
        process.main.add_done_callback(lambda _: self.facts.add(What.ENDED, process.name, ""))
        if stop is not None:
            self.driver.later(max(0.0, stop - self.driver.seconds), process.ask_to_stop)

    def _start_when_ended(self, process: Process) -> None:
        if process.main is not None:
            process.main.add_done_callback(lambda _: self._start(None))

    def _happen(self, fault: Fault) -> None:
        alive = [process for process in self.processes.values() if not process.has_ended]
        if alive and not self.schedule.over:
            self._do(fault, alive[fault.who % len(alive)])

    def _act(self, fault: Fault, who: str, subjects: tuple[str, ...]) -> None:
        if fault.kind is Kind.DUPLICATE_MEANWHILE:
            for subject in subjects:
                self._duplicate(message_id_of(subject))
        self._do(fault, self.processes[who])

    def _do(self, fault: Fault, process: Process) -> None:
        match fault.kind:
            case Kind.KILL | Kind.KILL_UNSENT | Kind.KILL_SENT | Kind.KILL_AT_STEP:
                process.kill()
                self.driver.later(fault.seconds, self._start, None)
            case Kind.STOP | Kind.STOP_MEANWHILE | Kind.REPLACE:
                if process.stop_asked_at is None:
                    self._start_when_ended(process)
                process.ask_to_stop()
            case Kind.PAUSE | Kind.PAUSE_MEANWHILE:
                process.pause()
                self.driver.later(fault.seconds, process.resume)
            case Kind.CLOCK:
                process.clock.offset += fault.seconds
            case _:
                pass

    def _before_step(self, loop: Loop) -> None:
        self.operators.before_step(loop)
        fault = self._steps_to_kill_at.pop((loop.name, loop.steps), None)
        if fault is not None:
            self._do(fault, self.processes[loop.name])

    def _duplicate(self, message_id: str, is_copy: bool = False) -> None:
        if message_id in self.queue.messages and not self.schedule.over and not self.story.settings.fifo:
            self.queue.duplicate(message_id, is_copy=is_copy)

    def _look(self) -> None:
        for process in self.processes.values():
            self.life.check_alive(process)
        self.progress.look()
        if self.driver.steps > self._steps_max:
            self.driver.halt()
        if not self._is_closing:
            self.driver.later(LOOK_SECONDS, self._look)


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Nobody reads thousands of runs' logs, and formatting them takes time."""
    logger = logging.getLogger("email_processor")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
