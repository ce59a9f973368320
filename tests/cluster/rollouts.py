"""No email is lost, or received twice, whatever moves the pods; and what is broken does not replace what works."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.cloud import ClusterAws
from tests.cluster.figures import Figures
from tests.cluster.kubernetes import RELEASE, SERVICE, Namespace
from tests.deploy.chart import CHART
from tests.support.emulators import Queue
from tests.support.mail import emails
from tests.support.waiting import eventually

EMAILS = 30_000
A_SECOND = 120  # emails that are sent: so many that all is moved while they come
BETWEEN = 3_000  # emails that are sent between two moves
WAITING_MOST = 1_000  # emails on the queue: with more the emulator is slow


@dataclass
class Feed:
    """Emails that are being sent, steadily."""

    queue: Queue
    count: int
    sent: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        """Send ten after ten, until all are sent or it is stopped."""
        bodies = emails(self.count)
        for start in range(0, self.count, 10):
            while start % WAITING_MOST == 0 and self.queue.visible > WAITING_MOST and not self._stop.wait(1):
                pass
            if self._stop.wait(10 / A_SECOND):
                return
            self.sent += self.queue.send_all(bodies[start : start + 10])

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    def wait_for(self, count: int) -> None:
        """Return when so many are sent."""
        eventually(lambda: len(self.sent) >= min(count, self.count), f"{count} emails sent", within=1200, every=0.5)


@contextmanager
def feeding(queue: Queue, count: int) -> Iterator[Feed]:
    """Send emails beside what is done in the context."""
    feed = Feed(queue, count)
    thread = threading.Thread(target=feed.send)
    thread.start()
    try:
        yield feed
    finally:
        feed.stop()
        thread.join()


def upgrade(space: Namespace) -> None:
    """A new configuration rolls out."""
    space.helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--set", "settings.LOG_LEVEL=DEBUG", "--wait")


def roll_back(space: Namespace) -> None:
    """And the old one comes back."""
    space.helm("rollback", RELEASE, "1", "--wait")


def drain(space: Namespace) -> None:
    """A node is drained of our pods: one after the other, for as long as the disruption budget lets only one go.

    Where it is the only node, new pods have no place before it is open again.
    """
    node = space.items("pods")[0]["spec"]["nodeName"]
    ours = f"{SERVICE},cluster-check={space.name}"
    before = space.pods()
    command = ["kubectl", "drain", node, "--pod-selector", ours, "--ignore-daemonsets", "--delete-emptydir-data"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as draining:
        try:
            eventually(lambda: before != space.pods(), "an eviction", within=60)
        finally:
            space.kubectl("uncordon", node)
        said, _ = draining.communicate(timeout=300)
    assert 0 == draining.returncode, said


def delete(space: Namespace) -> None:
    """Somebody deletes a pod."""
    space.kubectl("delete", f"pod/{space.pods()[0]}")


MOVES: dict[str, Callable[[Namespace], None]] = {
    "rolling upgrade": upgrade,
    "rollback": roll_back,
    "drain of the node": drain,
    "deleted pod": delete,
}


@pytest.mark.timeout(1800)
def test_no_email_is_lost_or_received_twice(
    space: Namespace, aws: ClusterAws, figures: Figures, tmp_path: Path
) -> None:
    """30,000 emails come while the release is upgraded, rolled back, drained, and loses a pod."""
    site, dead = aws.new_site(tmp_path, receives=1)
    site.bucket.keep_versions()
    with figures.timed("`helm install --wait`"):
        space.install(aws.values(site), "--wait")
    with figures.timed("`helm test`"):
        tested = space.helm("test", RELEASE, "--logs")
    assert "Phase:          Succeeded" in tested
    with feeding(site.queue, EMAILS) as feed:
        for number, (name, move) in enumerate(MOVES.items(), 1):
            feed.wait_for(number * BETWEEN)
            before = space.pods()
            with space.last_words() as said, figures.timed(f"{name}, while emails came"):
                move(space)
                eventually(lambda: len(space.pods(ready=True)) == 2, f"two pods after the {name}", within=120)
            assert set(before) != set(space.pods())
            stopped = [(line["event"], line["left_in_flight"], line["released"]) for line in said]
            assert [("stopped", 0, 0)] * len(stopped) == stopped, name
        assert len(feed.sent) < EMAILS
        feed.wait_for(EMAILS)
    site.queue.wait_until_empty(within=300)
    archived = sorted(key.rpartition("/")[2].partition("_")[0] for key, _ in site.bucket.written("emails/"))
    restarts = sum(
        status["restartCount"] for pod in space.items("pods") for status in pod["status"]["containerStatuses"]
    )
    assert sorted(feed.sent) == archived
    assert 0 == dead.visible  # whatever was received once and became visible again would be there
    assert 0 == restarts
    figures.add("emails sent", f"{len(feed.sent):,}")
    figures.add("emails lost", len(feed.sent) - len(archived))
    figures.add("emails received more than once", dead.visible)
    with figures.timed("`helm uninstall --wait`"):
        space.helm("uninstall", RELEASE, "--wait")
    space.kubectl("delete", "pods", "--selector", "app.kubernetes.io/component=check")  # as docs/deploy.md has it
    eventually(lambda: not space.leftovers(), "nothing left of the release", within=60)


@pytest.mark.timeout(600)
def test_a_broken_release_does_not_replace_a_healthy_one(
    space: Namespace, aws: ClusterAws, figures: Figures, tmp_path: Path
) -> None:
    """With a bucket that is not there the new pods never become available, and old ones go on archiving."""
    site, _ = aws.new_site(tmp_path)
    space.install(aws.values(site), "--wait")
    before = space.pods()
    with feeding(site.queue, EMAILS) as feed:  # more than are sent before it ends
        feed.wait_for(500)
        space.install(aws.values(site, S3_BUCKET_NAME="a-bucket-that-is-not-there"))
        with pytest.raises(AssertionError, match="timed out"):
            space.kubectl("rollout", "status", f"deployment/{RELEASE}", "--timeout=100s")
        healthy = set(before) & set(space.pods(ready=True))
        archived = len(site.bucket.listing("emails/"))
        feed.wait_for(len(feed.sent) + 500)
        eventually(lambda: len(site.bucket.listing("emails/")) > archived, "more emails archived", within=60)
    figures.add("healthy pods left by a rollout with a broken bucket name", f"{len(healthy)} of {len(before)}")
    assert healthy
    space.helm("rollback", RELEASE, "--wait")
    site.queue.wait_until_empty(within=300)
    assert len(feed.sent) == len(site.bucket.listing("emails/"))
    space.helm("uninstall", RELEASE, "--wait")
