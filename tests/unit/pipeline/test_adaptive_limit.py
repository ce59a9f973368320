"""The limit finds its own level: up while it helps, down at a throttle or when the latency is of our own making."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from email_processor.pipeline.adaptive_limit import MEASURED_BYTES_MAX, REGROWTH, ROUND_UPLOADS, AdaptiveLimit

CORE_IS_CROWDED = 2.5 * 40 * (1 + REGROWTH) ** 2  # uploads, of a core that 40 fill: a verdict comes a round late


class Store:
    """Uploads in virtual time, all that are allowed at once."""

    def __init__(self, *, start: int = 8, least: int = 1, most: int = 512) -> None:
        self.now = 0.0
        self.level = AdaptiveLimit(lambda: self.now, start=start, least=least, most=most)

    def uploads(self, seconds: float, count: int, *, size: int = 4096, is_full: bool = True) -> None:
        """`count` uploads that begin now and take so long."""
        began = self.now
        self.now += seconds
        for _ in range(count):
            self.level.succeed(began, size, is_full=is_full)

    def round(self, seconds: float, *, is_full: bool = True) -> int:
        """As many uploads as a verdict takes; the limit after it."""
        began = self.now
        self.now += seconds
        self.level.succeed(began, 4096, is_full=is_full)
        while self.level._count:
            self.level.succeed(began, 4096, is_full=is_full)
        return self.level.limit

    def rounds(self, many: int, seconds: Callable[[int], float]) -> list[int]:
        """Rounds whose latency follows from the limit, and the limit after each."""
        return [self.round(seconds(self.level.limit)) for _ in range(many)]

    def settle(self) -> int:
        """At 100 ms, doubled up to 128 and lowered once by a throttle to 64."""
        while self.level.limit < 128:
            self.uploads(0.1, 1)
        self.now += 0.1
        self.level.throttle(self.now)
        self.now += 0.1
        return self.level.limit


def test_the_first_round_learns_the_latency_and_then_the_limit_doubles_every_round() -> None:
    """From the least to the most: two turns of eight to learn from, and one more for each success after that."""
    store = Store(most=200)
    store.uploads(0.1, 15)
    assert 8 == store.level.limit
    store.uploads(0.1, 1)
    assert [72, 144, 200, 200] == store.rounds(4, lambda _: 0.1)


def test_the_limit_grows_only_while_all_of_it_is_used() -> None:
    """A success with slots to spare says nothing of what the store could bear."""
    store = Store()
    assert [8, 8, 8] == [store.round(0.1, is_full=False) for _ in range(3)]


def test_a_throttle_halves_the_limit_and_growth_is_slow_from_then_on() -> None:
    """Multiplicative decrease, additive increase: one more for a whole round of successes."""
    store = Store()
    assert 64 == store.settle()
    assert [64, 65, 66] == store.rounds(3, lambda _: 0.1)


def test_one_burst_of_throttles_is_one_decrease() -> None:
    """Uploads that began before the last decrease say nothing new."""
    store = Store(least=1, most=8)
    store.round(0.1)
    store.round(0.1)
    began = store.now
    store.now += 1
    assert [True, False, False] == [store.level.throttle(began) for _ in range(3)]
    assert 4 == store.level.limit


def test_a_core_that_is_the_bottleneck_gets_as_many_as_keep_it_busy_and_not_many_more() -> None:
    """A PUT takes 1 ms of our own core and 40 ms elsewhere: 40 at once are enough, and it never runs dry."""
    store = Store()
    limits = store.rounds(300, lambda limit: max(0.04, limit * 0.001))[20:]
    assert 40 <= min(limits)
    assert max(limits) <= CORE_IS_CROWDED


def test_after_crowding_the_limit_grows_by_a_sixteenth_a_round_and_after_a_throttle_by_one() -> None:
    """A throttle is a request in vain; what it costs to be slow for a round is little."""
    store = Store(most=128)
    store.rounds(4, lambda _: 0.04)
    assert [89, 89, 95, 101, 108, 115] == [store.round(0.2), *store.rounds(5, lambda _: 0.04)]
    store.level.throttle(store.now)
    store.now += 0.1
    assert [58, 59, 60] == store.rounds(3, lambda _: 0.04)


def test_a_few_uploads_that_were_fast_by_chance_are_no_baseline() -> None:
    """The first ones take less than the others: once there are more, what all take is not crowded."""
    store = Store(most=128)
    store.uploads(0.04, 16)
    limits = store.rounds(20, lambda limit: 0.055 if limit < 128 else 0.12)
    assert 128 == limits[-1] == min(limits[2:])


def test_a_store_that_became_slower_costs_one_trial_and_the_limit_is_back() -> None:
    """From 40 to 400 ms: fewer uploads are no faster, so it is not their number; the limit grows from where it was."""
    store = Store(most=128)
    store.rounds(4, lambda _: 0.04)
    store.level.throttle(store.now)
    assert [45, 64, 128] == store.rounds(3, lambda _: 0.4)  # lowered, restored, and doubled


def test_the_latency_at_ease_is_learnt_anew_when_the_store_is_fast_again() -> None:
    """After a slow spell two and a half times the old latency is crowding, as before it."""
    store = Store(most=128)
    store.rounds(4, lambda _: 0.04)
    store.rounds(6, lambda _: 0.4)
    store.rounds(2, lambda _: 0.04)
    assert 128 == store.level.limit
    assert 89 == store.round(0.11)


def test_the_latency_at_ease_is_found_anew_every_five_minutes() -> None:
    """Learnt in a slow spell that our own queue hides the end of: trials go down to where less is no faster."""
    store = Store()
    store.rounds(100, lambda limit: max(0.4, limit * 0.001))
    inflated = store.rounds(10, lambda limit: max(0.04, limit * 0.001))
    while store.now < 700:
        store.round(max(0.04, store.level.limit * 0.001))
    healed = store.rounds(200, lambda limit: max(0.04, limit * 0.001))
    assert min(inflated) > 400
    assert max(healed) <= CORE_IS_CROWDED
    assert min(healed) >= 40


def test_finding_it_anew_leaves_a_limit_that_is_not_too_high() -> None:
    """Nothing of the latency is our doing: one trial in five minutes, and the limit is what it was."""
    store = Store()
    store.settle()
    store.level._most = 64
    limits = set()
    while store.now < 320:
        limits.add(store.round(0.1))
    assert {64, 44} == limits
    assert 64 == store.level.limit


def test_a_slow_tail_does_not_lower_the_limit() -> None:
    """One upload in five takes fifty times as long."""
    store = Store(most=128)
    for _ in range(50):
        store.uploads(2.0, 25)
        store.uploads(0.04, 103)
    assert 128 == store.level.limit


def test_large_objects_are_slow_without_being_a_sign_of_crowding() -> None:
    """Half of the uploads are of 1 MiB and take ten times as long."""
    store = Store(most=128)
    for _ in range(50):
        store.uploads(0.4, 64, size=1024 * 1024)
        store.uploads(0.04, 64, size=MEASURED_BYTES_MAX)
    assert 128 == store.level.limit


def test_large_objects_alone_let_the_limit_grow() -> None:
    """Nothing is known of the latency then; bytes and throttling bound them."""
    store = Store(most=128)
    for _ in range(4):
        store.uploads(0.4, ROUND_UPLOADS, size=1024 * 1024)
    assert 128 == store.level.limit


def test_a_slow_store_that_is_little_used_keeps_its_limit() -> None:
    """Fewer than allowed are under way: to allow less would change nothing and teach nothing."""
    store = Store(most=128)
    store.rounds(4, lambda _: 0.04)
    assert [128, 128] == [store.round(1.0, is_full=False) for _ in range(2)]


def test_the_start_is_no_trap() -> None:
    """Crowded at the start, where less is not tried: that latency becomes the baseline, and the limit grows again."""
    store = Store(most=16)
    store.round(0.001, is_full=False)
    assert [11, 11, 15, 16] == store.rounds(4, lambda _: 0.4)


def test_an_upload_that_began_before_a_decrease_has_no_part_in_the_next_verdict() -> None:
    """It ran among the many."""
    store = Store(most=128)
    store.rounds(4, lambda _: 0.04)
    began = store.now
    store.now += 1
    store.level.throttle(began)
    for _ in range(1000):
        store.level.succeed(began, 4096, is_full=False)
    assert 64 == store.level.limit


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["throttle", "fast", "slow", "large"]), st.integers(1, 200), st.booleans(), st.floats(0, 9)
        ),
        max_size=30,
    ),
    st.integers(1, 20),
    st.integers(20, 300),
)
def test_the_limit_stays_within_its_bounds(events: list[tuple[str, int, bool, float]], least: int, most: int) -> None:
    """Whatever the store answers, however fast."""
    store = Store(least=least, most=most)
    seen = {store.level.limit}
    for kind, count, is_full, seconds in events:
        if kind == "throttle":
            store.now += seconds
            store.level.throttle(store.now)
        else:
            size = 2 * MEASURED_BYTES_MAX if kind == "large" else 10
            store.uploads(0.0 if kind == "fast" else seconds, count, size=size, is_full=is_full)
        seen.add(store.level.limit)
    assert least <= min(seen)
    assert max(seen) <= most
