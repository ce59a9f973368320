"""A host that runs out: of disk under the log file, and of file descriptors."""

import json
import resource
import socket
import time
from contextlib import ExitStack

from tests.support.fault_proxy import fault_proxy
from tests.support.mail import emails
from tests.support.service import Service
from tests.support.site import Site
from tests.support.truth import expected, sent, stored
from tests.support.waiting import eventually

CLIENTS = 50  # that connect to the HTTP port and stay: more than there are file descriptors for


def limit(service: Service, what: int, most: int) -> None:
    """Set a limit of the running service; the hard one stays, so that it can be raised again."""
    _, hard = resource.prlimit(service.process.pid, what)
    resource.prlimit(service.process.pid, what, (most, hard))


def test_a_full_disk_under_the_log_file_stops_nothing(one_site: Site) -> None:
    """It is said once, on stderr, every email is stored, and the file goes on when there is room again."""
    file = one_site.directory / "processor.log"
    with one_site.service(LOG_FILE=str(file)) as service:
        service.wait_until_ready()
        _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        full = file.stat().st_size + 100
        limit(service, resource.RLIMIT_FSIZE, full)
        bodies = [*emails(40), *(f"not an email, {number}" for number in range(20))]  # each of these has a line
        messages = sent(one_site.queue, bodies)
        one_site.queue.wait_until_empty()
        assert file.stat().st_size <= full
        (failing,) = service.logged("log_file_failing")
        assert (failing["level"], failing["file"]) == ("error", str(file))
        limit(service, resource.RLIMIT_FSIZE, hard)
        service.wait_until_ready()
        assert 0 == service.stop()
        assert 20 == len(service.logged("quarantined"))
        assert 1 == len(service.logged("log_file_failing"))
        print(f"the log file full at {full} bytes: {failing['error']}, {len(messages)} messages done")
    assert "stopped" == json.loads(file.read_text().splitlines()[-1])["event"]
    assert stored(one_site.bucket) == expected(dict(list(messages.items())[:40]))
    assert 20 == len(one_site.bucket.listing("quarantine/"))


def test_without_file_descriptors_it_waits_until_there_are_some(one_site: Site) -> None:
    """With none left for new connections it lives on, loses nothing and says what to do; raised, it goes on."""
    with (
        fault_proxy(one_site.emulator.url) as sqs,
        fault_proxy(one_site.emulator.url) as s3,
        one_site.service(AWS_ENDPOINT_URL_SQS=sqs.url, AWS_ENDPOINT_URL_S3=s3.url) as service,
        ExitStack() as clients,
    ):
        first = sent(one_site.queue, emails(1))
        service.wait_until("deletes_total", 1, outcome="deleted")
        service.wait_until_ready()
        s3.refuse()  # with the connection that it has it would store them one after another
        s3.accept()
        port = service.wait_for("started")["port"]
        enough, _ = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
        limit(service, resource.RLIMIT_NOFILE, max(service.descriptors()) + 1)
        for _ in range(CLIENTS):
            clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        eventually(lambda: len(service.descriptors()) == max(service.descriptors()) + 1, "every file descriptor in use")
        messages = sent(one_site.queue, emails(5))
        failing = service.wait_for("failing", part="storing")
        assert one_site.queue.in_flight == len(messages)
        messages |= first
        used = service.cpu_seconds()
        time.sleep(1)
        used = service.cpu_seconds() - used
        limit(service, resource.RLIMIT_NOFILE, enough)
        one_site.queue.wait_until_empty()
        service.wait_until_ready()
        recovered = service.wait_for("recovered", part="storing")
        print(f"{failing['error']} {failing['fix']} For {recovered['seconds']} s, at {used:.0%} of a core.")
        assert "error" == failing["level"]
        assert "file descriptor" in failing["fix"]
        assert used < 0.5
        assert 0 == service.stop()
        assert not any("Traceback" in line for line in service.lines)
    assert stored(one_site.bucket) == expected(messages)
    assert sqs.receive_counts() == dict.fromkeys(messages, 1)
