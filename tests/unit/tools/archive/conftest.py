"""The coroutine tests of the archive's tools run in the simulation's virtual time, as those of the pipeline do."""

from tests.unit.pipeline.conftest import pytest_pycollect_makeitem

__all__ = ["pytest_pycollect_makeitem"]
