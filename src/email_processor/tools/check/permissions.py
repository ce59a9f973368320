"""Permissions: what follows from a denial."""

from collections.abc import Sequence
from dataclasses import dataclass

from email_processor.domain.errors import Cause
from email_processor.tools.check.codes import BY_CODE
from email_processor.tools.check.findings import Finding, Status, blocked, failed
from email_processor.tools.check.fixes import allow
from email_processor.tools.check.inspect.asking import Fault, Unasked
from email_processor.tools.check.inspect.identity import Identity


@dataclass(frozen=True, slots=True)
class Permission:
    """An action that the service takes: how bad it is if it is denied, and what is lost then."""

    code: str
    severity: Status
    loss: str

    def refused(
        self, answer: Fault | Unasked, resource: str | Sequence[str], identity: Identity | None, *, missing: str
    ) -> Finding:
        """The finding for an answer that is not yes.

        `resource` is what the action is on (ARN), and `missing` names it for when AWS knows no such thing.
        """
        fault = blocked(self.code, answer, missing=missing)
        if isinstance(fault, Finding):
            return fault
        if fault.cause is not Cause.DENIED:
            return failed(self.code, "neither allowed nor denied", error=fault.error, fix=fault.fix)
        fix = allow(BY_CODE[self.code].title, resource, fault, identity)
        return Finding(self.code, self.severity, f"denied: {self.loss}", fault.error, fix)
