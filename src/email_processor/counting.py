"""Counters and histograms that a single thread writes: plain numbers, shown to Prometheus when it asks.

The Prometheus library's own take a lock at every change, of which every email makes a dozen. Here nothing is lost
without one: the event loop's thread both counts and answers scrapes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Begin at zero."""
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Add `amount`."""
        self.value += amount


class Counter(Count, Collector):
    """A counter without labels."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        """`name` ends in `_total`."""
        super().__init__()
        self._name = name
        self._text = text
        registry.register(self)

    @property
    def total(self) -> int:
        """What was counted."""
        return self.value

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What Prometheus sees."""
        yield CounterMetricFamily(self._name, self._text, self.value)


class ReadCounter(Collector):
    """A counter of what is counted elsewhere."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        """`name` ends in `_total`."""
        self._name = name
        self._text = text
        self.read: Callable[[], int] = lambda: 0
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What Prometheus sees."""
        yield CounterMetricFamily(self._name, self._text, self.read())


class LabelledCounter(Collector):
    """A counter with labels, all sets of which are known from the start: alerts see zeros, not gaps."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], sets: Iterable[tuple[str, ...]], registry: CollectorRegistry
    ) -> None:
        """`name` ends in `_total`; `sets` are the values that `labels` can have."""
        self._name = name
        self._text = text
        self._labels = labels
        self._counts = {tuple(str(value) for value in values): Count() for values in sets}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The count of one set of labels; KeyError if it is none of the known."""
        return self._counts[values]

    @property
    def total(self) -> int:
        """What was counted under all labels."""
        return sum(count.value for count in self._counts.values())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What Prometheus sees."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count.value)
        yield family


class Histogram(Collector):
    """How values are distributed over buckets."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        """`bounds` are the upper ends of the buckets, each included, in ascending order; one without end follows."""
        self._name = name
        self._text = text
        self._bounds = [*bounds, float("inf")]
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count `value`."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What Prometheus sees: each bucket counts the smaller ones too."""
        buckets = zip(map(floatToGoString, self._bounds), accumulate(self._counts), strict=True)
        yield HistogramMetricFamily(self._name, self._text, buckets=list(buckets), sum_value=self._sum)
