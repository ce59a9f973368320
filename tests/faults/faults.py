"""What can happen to a call on its way: each fault as a rule of the fault proxy."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.support.aws_answers import DENY, THROTTLE, CallFault, Rule, refusing
from tests.support.fault_proxy import FaultProxy


@dataclass(frozen=True)
class WireFault:
    """A fault. With `is_delivered` the request has reached the emulator, and only its answer has not come back."""

    rule: Callable[[FaultProxy], Rule]
    is_delivered: bool = False


def spoiled(proxy: FaultProxy, *, share: float = 1.0, pause: float = 0.0) -> Rule:
    """Deliver the request, and of the answer only a share, or all of it but byte by byte."""
    return lambda request: replace(proxy.forward(request), share=share, pause=pause)


FAULTS = {
    "connection closed": WireFault(lambda _: CallFault.CUT),
    "connection reset": WireFault(lambda _: CallFault.RESET),
    "no answer": WireFault(lambda _: CallFault.HANG),
    "500": WireFault(lambda _: refusing(500, "InternalError")),
    "503 SlowDown": WireFault(lambda _: THROTTLE),
    "403": WireFault(lambda _: DENY),
    "404": WireFault(lambda _: refusing(404, "NoSuchBucket")),
    "answer lost": WireFault(lambda _: CallFault.LOSE, is_delivered=True),
    "answer cut in its head": WireFault(lambda proxy: spoiled(proxy, share=0.1), is_delivered=True),
    "answer cut short": WireFault(lambda proxy: spoiled(proxy, share=0.9), is_delivered=True),
    "answer byte by byte": WireFault(lambda proxy: spoiled(proxy, pause=0.1), is_delivered=True),
}
