"""Logs: one JSON object a line, silent about normal work, never a body."""

import json
from datetime import UTC, datetime, timedelta

from tests.support.mail import CONFIDENTIAL, emails
from tests.support.site import Site

HEAD = ["time", "level", "event"]


def test_every_line_is_json_with_time_level_and_event(one_site: Site) -> None:
    """In this order, the time in UTC; even at DEBUG no body and no secret is in any of them."""
    one_site.queue.send_all([*emails(5), f"not an email, but {CONFIDENTIAL}"])
    with one_site.service() as service:
        one_site.queue.wait_until_empty()
        assert 0 == service.stop()
    records = [json.loads(line) for line in service.lines]
    assert [list(record)[:3] for record in records] == [HEAD] * len(records)
    assert {record["level"] for record in records} <= {"debug", "info", "warning", "error"}
    ages = [datetime.now(UTC) - datetime.fromisoformat(record["time"]) for record in records]
    assert timedelta() < min(ages) <= max(ages) < timedelta(minutes=2)
    assert not [line for line in service.lines if CONFIDENTIAL in line]


def test_normal_work_is_silent_but_for_a_summary(one_site: Site) -> None:
    """At INFO there is the start, a summary of what was done now and then, and the stop, which says what was done."""
    one_site.queue.send_all(emails(5))
    with one_site.service(measured=True, LOG_LEVEL="INFO") as service:
        one_site.queue.wait_until_empty()
        assert 0 == service.stop()
    rest = [record["event"] for record in service.events if record["event"] != "summary"]
    assert ["started", "signal", "stopping", "stopped"] == rest
    assert 5 == service.events[-1]["archived"]


def test_a_log_file_gets_the_same_lines(one_site: Site) -> None:
    """With `LOG_FILE` every record is in the file as well."""
    with one_site.service(LOG_FILE="processor.log") as service:
        service.wait_until_ready()
        assert 0 == service.stop()
    lines = (one_site.directory / "processor.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [record["event"] for record in service.events]


def test_the_console_form_is_for_people(one_site: Site) -> None:
    """It is no JSON, and says the same."""
    with one_site.service(LOG_FORMAT="console", HTTP_PORT="0") as service:
        service.wait_for_line("started")
        assert 0 == service.stop()
    assert [] == service.events
    assert any("stopped" in line and "left_in_hand" in line for line in service.lines)
