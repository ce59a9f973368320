"""Credentials over time: when they are looked for, by whom, and what is used until then. Time is the tests' own."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, CredentialRetrievalError, NoCredentialsError

from email_processor.aws.credentials import AGAIN_MOST_SECONDS, AGAIN_SECONDS, AHEAD_SECONDS, Credentials
from email_processor.ports import Clock

HOUR = 3600.0


@dataclass
class Found:
    """What a provider gives, in the SDK's own form."""

    name: str
    until: float
    method: str = "fake"
    secret: str = "s"
    token: str | None = None

    @property
    def _frozen_credentials(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials(self.name, self.secret, self.token)

    @property
    def _expiry_time(self) -> datetime | None:
        return None if self.until == float("inf") else datetime.fromtimestamp(self.until, UTC)


@dataclass
class World:
    """A clock that stands still, and providers that do as they are told."""

    now: float = 1_700_000_000.0
    looks: list[float] = field(default_factory=list)  # when each began
    life: float = HOUR
    trouble: Exception | None = None
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()
        self.credentials = Credentials(lambda: self, Clock(lambda: self.now, lambda: self.now), patience=0.01)

    async def load_credentials(self) -> Found:
        """One look."""
        self.looks.append(self.now)
        number = len(self.looks)
        await self.may_answer.wait()
        if self.trouble is not None:
            raise self.trouble
        return Found(f"KEY{number}", self.now + self.life)

    async def key(self) -> str:
        """The access key that a request is signed with now."""
        name = str((await self.credentials.get_frozen_credentials()).access_key)
        for _ in range(5):  # turns of the loop, for a look that nobody waits for
            await asyncio.sleep(0)
        return name

    async def live(self, seconds: float, step: float, note: Callable[[str], object]) -> None:
        """Let time pass, with a request at every step."""
        for _ in range(round(seconds / step)):
            self.now += step
            note(await self.key())


@pytest.fixture
def world() -> World:
    """One for each test."""
    return World()


async def test_one_look_is_for_everybody(world: World) -> None:
    """However many ask at once, and whoever of them gives up."""
    world.may_answer.clear()
    callers = [asyncio.ensure_future(world.credentials.get_frozen_credentials()) for _ in range(256)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    world.may_answer.set()
    names = {keys.access_key for keys in await asyncio.gather(*callers[1:])}
    assert {"KEY1"} == names
    assert 1 == len(world.looks)


async def test_its_failure_is_everybodys_too(world: World) -> None:
    """And is told to those who come within the next seconds, without another look."""
    world.trouble = NoCredentialsError()
    outcomes = await asyncio.gather(*[world.key() for _ in range(256)], return_exceptions=True)
    assert {NoCredentialsError} == {type(outcome) for outcome in outcomes}
    world.now += AGAIN_SECONDS / 2
    with pytest.raises(NoCredentialsError):
        await world.key()
    assert 1 == len(world.looks)
    world.now += AGAIN_SECONDS
    world.trouble = None
    assert "KEY2" == await world.key()


async def test_a_look_that_takes_long_is_not_waited_for_and_goes_on(world: World) -> None:
    """Who has nothing to sign with says so in time; who comes when it is over has it."""
    world.may_answer.clear()
    with pytest.raises(CredentialRetrievalError, match="none after"):
        await world.key()
    with pytest.raises(CredentialRetrievalError, match="none after"):
        await world.key()
    world.may_answer.set()
    assert "KEY1" == await world.key()


async def test_new_ones_are_looked_for_ahead_of_the_end(world: World) -> None:
    """Nobody waits for them, and the old ones are used until they are there."""
    assert "KEY1" == await world.key()
    world.now += HOUR - AHEAD_SECONDS - 1
    assert "KEY1" == await world.key()
    assert 1 == len(world.looks)
    world.now += 2
    world.may_answer.clear()
    assert "KEY1" == await world.key()
    assert 2 == len(world.looks)
    world.may_answer.set()
    await world.key()
    assert "KEY2" == await world.key()


async def test_old_ones_are_used_until_they_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An outage of STS in their last quarter of an hour: it is seldom asked, it is said, and no request fails."""
    caplog.set_level(logging.INFO, "email_processor")
    used: set[str] = set()
    await world.key()
    world.trouble = CredentialRetrievalError(provider="fake", error_msg="STS is down")
    await world.live(HOUR - 1, 1.0, used.add)
    assert {"KEY1"} == used
    pauses = [after - before for before, after in zip(world.looks[1:], world.looks[2:], strict=False)]
    assert [AGAIN_SECONDS, 2 * AGAIN_SECONDS, 4 * AGAIN_SECONDS, 8 * AGAIN_SECONDS] == pauses[:4]
    assert AGAIN_MOST_SECONDS == max(pauses)
    assert ["credentials_not_renewed"] * 3 == [record.message for record in caplog.records]
    assert 900 == next(vars(record)["seconds_left"] for record in caplog.records)
    world.now += 2
    with pytest.raises(CredentialRetrievalError, match="STS is down"):
        await world.key()
    world.trouble = None
    world.now += AGAIN_SECONDS
    assert (await world.key()).startswith("KEY")
    assert "credentials_renewed" == caplog.records[-1].message


async def test_many_requests_near_the_end_are_no_storm(world: World) -> None:
    """A provider that goes on giving what ends soon is asked once in a while, not by every request."""
    world.life = 600.0
    await world.live(60.0, 0.01, lambda _: None)
    assert len(world.looks) <= 2


async def test_refused_ones_are_looked_for_once_in_some_seconds(world: World) -> None:
    """Whatever their end; and so few looks whoever is refused, and however often."""
    keys = await world.credentials.get_frozen_credentials()
    world.now += 60
    world.credentials.refused(keys)
    assert "KEY2" == await world.key()
    for _ in range(100):
        world.credentials.refused(keys)  # told late: those are no longer in use
        assert "KEY2" == await world.key()
    assert 2 == len(world.looks)
    for _ in range(100):
        world.credentials.refused()
        await world.key()
        world.now += 0.1
    assert len(world.looks) <= 4


async def test_refused_ones_are_all_there_is_if_the_provider_has_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are used, and the provider is asked again: the file may be rewritten a little later."""
    name = "SAME"

    async def same() -> Found:
        world.looks.append(world.now)
        return Found(name, float("inf"))

    monkeypatch.setattr(world, "load_credentials", same)
    assert "SAME" == await world.key()
    world.credentials.refused()
    await world.live(20.0, 0.5, lambda key: key == "SAME")
    assert 3 <= len(world.looks) <= 6
    name = "OTHER"
    await world.live(2 * AGAIN_SECONDS, 0.5, lambda _: None)
    assert "OTHER" == await world.key()
    looks = len(world.looks)
    await world.live(100.0, 0.5, lambda _: None)
    assert len(world.looks) == looks


async def test_what_is_over_when_it_is_given_is_not_used(world: World) -> None:
    """A cache that is out of date, or a clock of ours that is ahead."""
    world.life = -1.0
    with pytest.raises(CredentialRetrievalError, match="is over since"):
        await world.key()


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        (("AKID\r\nX: y", "secret", "token"), "access key id"),
        (("“AKID”", "secret", "token"), "access key id"),
        (("AKID", "secret\n", "token"), "secret access key"),
        (("AKID", "“secret”", None), "secret access key"),
        (("AKID", "sec\udcffret", "token"), "secret access key"),
        (("AKID", "secret", "to\nken"), "session token"),
        (("AKID", "secret", "tokén"), "session token"),
    ],
    ids=ascii,
)
async def test_a_character_that_no_key_has_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str, str | None], wrong: str
) -> None:
    """It comes from `echo key | base64` or through a word processor; sent, it would be the network's fault."""
    name, secret, token = keys

    async def give() -> Found:
        return Found(name, float("inf"), secret=secret, token=token)

    monkeypatch.setattr(world, "load_credentials", give)
    with pytest.raises(CredentialRetrievalError) as caught:
        await world.key()
    assert f"from fake: the {wrong} has a character in it that no key has: " in str(caught.value)


async def test_their_end_is_known(world: World) -> None:
    """For the metric: none, until there are some."""
    assert world.credentials.until == float("inf")
    await world.key()
    assert world.credentials.until == world.now + HOUR


async def test_a_mistake_in_a_provider_is_told_to_all(world: World) -> None:
    """Whatever it raises is a matter of credentials."""
    world.trouble = KeyError("x")
    outcomes = await asyncio.gather(*[world.key() for _ in range(3)], return_exceptions=True)
    assert all(isinstance(outcome, BotoCoreError) for outcome in outcomes)


async def test_closing_ends_a_look(world: World) -> None:
    """Nothing goes on behind the back of who has closed."""
    world.may_answer.clear()
    with pytest.raises(CredentialRetrievalError):
        await world.key()
    await world.credentials.close()
    await world.credentials.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_refused_ones_that_are_taken_after_all_are_good_again(world: World) -> None:
    """A single refusal can be a fault of the other side: nothing is looked for again and again, and nobody waits."""
    keys = await world.credentials.get_frozen_credentials()
    world.credentials.refused()
    seen = []
    for taken in (ReadOnlyCredentials("other", "secret", None), keys):
        world.credentials.taken(taken)
        seen.append(world.credentials.is_refused)
    assert [True, False] == seen
    await world.live(60, 1, lambda key: None)
    assert 1 == len(world.looks)


async def test_each_is_told_of_a_failure_in_a_copy_of_its_own(world: World) -> None:
    """An error holds on to all that it has passed, so to the document of the last who was told."""
    world.trouble = NoCredentialsError()
    errors = await asyncio.gather(*[world.key() for _ in range(2)], return_exceptions=True)
    assert errors[0] is not errors[1]
