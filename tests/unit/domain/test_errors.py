"""Errors: what happened, to what, what now."""

import subprocess
import sys

import pytest

from email_processor.domain.errors import (
    Cause,
    EmailProcessorError,
    Reason,
    StartError,
    StoreFaultError,
    UnarchivableError,
)

PASSING = {Cause.THROTTLED, Cause.TIMEOUT, Cause.NETWORK, Cause.SERVER}


def test_an_error_says_what_happened_to_what_and_what_now() -> None:
    """The headline is the docstring's first line; detail and fix follow, and can be had apart."""
    error = StartError("Cannot listen on 0.0.0.0:80: permission denied.", fix="Set HTTP_PORT.")
    expected = "email-processor could not start. Cannot listen on 0.0.0.0:80: permission denied. Set HTTP_PORT."
    assert expected == str(error)
    assert ("Cannot listen on 0.0.0.0:80: permission denied.", "Set HTTP_PORT.") == (error.detail, error.fix)


def test_an_error_without_detail_is_its_headline() -> None:
    """No gaps where nothing more is known."""
    assert "email-processor failed." == str(EmailProcessorError())


def test_an_error_without_a_docstring_still_speaks() -> None:
    """Python run with -OO drops docstrings; the detail is what counts."""

    class BareError(EmailProcessorError):
        __doc__ = None

    assert "detail" == str(BareError("detail"))


def test_errors_speak_in_a_python_without_docstrings() -> None:
    """The same, in a real one."""
    code = "from email_processor.domain.errors import StartError; print(StartError('detail', fix='fix'))"
    answer = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True)
    assert "detail fix\n" == answer.stdout


def test_a_refusal_and_a_fault_carry_their_kind() -> None:
    """Reason and cause are what decides, counts and is stored."""
    refused = UnarchivableError(Reason.TOO_DEEP, "detail")
    fault = StoreFaultError(Cause.DENIED, "PutObject: AccessDenied", fix="Allow s3:PutObject.")
    assert ("too_deep", "The message is not an email that can be archived. detail") == (refused.reason, str(refused))
    assert ("denied", "Allow s3:PutObject.") == (fault.cause, fault.fix)


@pytest.mark.parametrize("cause", Cause)
def test_waiting_mends_only_what_passes(cause: Cause) -> None:
    """Throttling, timeouts, the network and a server's own errors pass; for the rest somebody has to do something."""
    assert cause.needs_a_person is (cause not in PASSING)
