"""The coroutine tests of the pipeline run in the simulation's virtual time."""

import inspect
from collections.abc import Generator

import pytest

from tests.simulation.loop import in_virtual_time

Collected = pytest.Item | pytest.Collector | list[pytest.Item | pytest.Collector] | None


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Collected, Collected]:
    """Wrap each coroutine test of this folder, before pytest-asyncio finds it and gives it a loop in real time.

    The pipeline is made of long waits: in virtual time they cost nothing and end at exact moments, whatever else the
    machine does. Being `trylast`, this wrapper is the innermost: pytest-asyncio's sees no coroutine any more.
    """
    collected = yield
    for item in collected if isinstance(collected, list) else ():
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = in_virtual_time(item.obj)
    return collected
