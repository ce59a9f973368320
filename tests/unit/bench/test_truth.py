"""The benchmark's queue and bucket are honest: what is not stored byte for byte before its delete does not count."""

from statistics import quantiles

import orjson
import pytest

from bench.aws import CountingBucket, CountingQueue, Totals
from bench.mail import JUMP_AT, Post, message_id
from bench.world import BenchWorld, Scenario

NOW = 1_000.0


class BenchAws:
    """A queue with one message, which has been received, and a bucket."""

    def __init__(self) -> None:
        self.post = Post(4096)
        self.tally = Totals()
        self.queue = CountingQueue(self.post, self.tally)
        self.bucket = CountingBucket(self.post, self.queue, self.tally)
        self.queue.send(NOW)
        self.handle = self.receive()

    def receive(self, now: float = NOW) -> str:
        """Receive the message; its receipt handle."""
        (entry,) = self.queue.receive(10, 30, now, with_attributes=True)
        handle: str = orjson.loads(entry)["ReceiptHandle"]
        return handle

    def put(self, data: bytes) -> str | None:
        """Store an object for the message."""
        return self.bucket.put(f"emails/{message_id(0)}.json".encode(), data, NOW, if_none_match=True)

    @property
    def body(self) -> bytes:
        """What was sent."""
        return self.post.mail(0).body


def test_stored_and_deleted_counts() -> None:
    """The body may stand inside of a larger document."""
    aws = BenchAws()
    aws.put(b'{"email_data":' + aws.body + b"}")
    assert aws.queue.delete(aws.handle)
    assert (1, 0, 0) == (aws.tally.counted, aws.tally.lost, aws.tally.damaged)


def test_deleted_without_an_object_is_lost() -> None:
    """However fast it was."""
    aws = BenchAws()
    assert aws.queue.delete(aws.handle)
    assert (0, 1) == (aws.tally.counted, aws.tally.lost)


@pytest.mark.parametrize("change", [lambda body: body[:-2] + b'x"}', lambda body: body[1:], lambda _: b"{}"])
def test_an_object_without_the_body_is_damaged_and_does_not_count(change: object) -> None:
    """One byte is enough."""
    aws = BenchAws()
    aws.put(change(aws.body))  # type: ignore[operator]
    assert aws.queue.delete(aws.handle)
    assert (0, 1, 1) == (aws.tally.counted, aws.tally.lost, aws.tally.damaged)


def test_a_delete_with_a_stale_handle_is_accepted_and_deletes_nothing() -> None:
    """As in SQS."""
    aws = BenchAws()
    aws.put(aws.body)
    newest = aws.receive(NOW + 31)
    assert aws.queue.delete(aws.handle)
    assert (0, 1, (0, 1)) == (aws.tally.counted, aws.tally.stale_handles, aws.queue.counts(NOW + 31))
    assert aws.queue.delete(newest)
    assert 1 == aws.tally.counted


def test_a_second_conditional_put_finds_the_first() -> None:
    """And changes nothing."""
    aws = BenchAws()
    assert aws.put(aws.body) is not None
    assert aws.put(b"{}") is None
    assert (1, 0) == (aws.tally.already_there, aws.tally.overwritten)


def test_a_store_with_a_tail_has_the_median_and_the_tail_that_are_asked_for() -> None:
    """Within a tenth of each; without a tail every request takes the same."""
    world = BenchWorld(Scenario(store_latency=0.03, store_tail=0.24), lambda *_: None)
    percentiles = quantiles([world.store_latency() for _ in range(20_000)], n=100)
    assert pytest.approx([0.03, 0.24], rel=0.1) == [percentiles[49], percentiles[98]]
    assert 0.03 == BenchWorld(Scenario(store_latency=0.03), lambda *_: None).store_latency()


def test_emails_jump_from_one_size_to_another() -> None:
    """The one with which it begins is of the other size."""
    world = BenchWorld(Scenario(size=1024, later_size=65_536), lambda *_: None)
    sizes = [len(world.bucket._post.mail(number).body) for number in (0, JUMP_AT - 1, JUMP_AT)]
    assert [1024, 1024, 65_536] == sizes
