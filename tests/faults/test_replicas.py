"""Replicas on one queue whose requests meet faults."""

import random
import signal
import threading

from tests.faults.faults import FAULTS
from tests.support.aws_answers import Act, Request, act
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.mail import emails
from tests.support.service import Service
from tests.support.site import Site
from tests.support.truth import expected, leave_to_the_queue, sent, stored
from tests.support.waiting import eventually

SEED = 20241210
SHARE_STRUCK = 0.2  # of all requests
STRUCK = {"PUT", "ReceiveMessage", "DeleteMessageBatch"}
QUICK = {name: fault for name, fault in FAULTS.items() if name not in {"no answer", "answer byte by byte"}}


class RandomFaults:
    """A rule of a proxy: some of the requests meet a fault, which one is drawn."""

    def __init__(self, proxy: FaultProxy) -> None:
        """Strike at `proxy`; a receive only so that nobody has its messages in flight without knowing."""
        self._rules = {name: fault.rule(proxy) for name, fault in QUICK.items()}
        self._random = random.Random(SEED)
        self._drawing = threading.Lock()
        self.struck = 0

    def __call__(self, request: Request) -> Act:
        """Strike, or let it through."""
        with self._drawing:
            name = self._random.choice(list(QUICK))
            is_struck = request.operation in STRUCK and self._random.random() < SHARE_STRUCK
            if request.operation == "ReceiveMessage" and QUICK[name].is_delivered:
                is_struck = False  # its messages would come back, but only when their leases end
            self.struck += is_struck
        return act(self._rules[name], request) if is_struck else None


def test_two_services_that_meet_faults_share_the_work_and_one_survives_the_other(one_site: Site) -> None:
    """Both archive, one is killed, the other finishes: every message once, whatever became of one request in five."""
    messages: dict[str, str] = {}
    with fault_proxy(one_site.emulator.url) as proxy:
        faults = RandomFaults(proxy)
        proxy.rule = faults
        with one_site.service(AWS_ENDPOINT_URL=proxy.url) as one, one_site.service(AWS_ENDPOINT_URL=proxy.url) as other:

            def both_have_worked() -> bool:
                messages.update(sent(one_site.queue, emails(20)))
                return all(archived(service) >= 20 for service in (one, other))

            eventually(both_have_worked, "twenty emails archived by each", within=30, every=0.3)
            shares = [int(archived(service)) for service in (one, other)]
            messages |= sent(one_site.queue, emails(40))
            assert one.stop(signal.SIGKILL) == -signal.SIGKILL
            leave_to_the_queue(one_site.queue, proxy)
            one_site.queue.wait_until_empty(within=90)  # what fails twice in a row comes back when its lease ends
            assert 0 == other.stop()
            assert not any("Traceback" in line for line in (*one.lines, *other.lines))
        print(
            f"{len(messages)} emails, {shares} archived by each before one was killed, {faults.struck} requests struck"
        )
    assert stored(one_site.bucket) == expected(messages)
    assert one_site.queue.is_empty()


def archived(service: Service) -> float:
    """How many emails a service has stored, whether it knows of each or found it there after a lost answer."""
    return service.metric("messages_archived_total") + service.metric("messages_duplicate_total", kind="stored")
