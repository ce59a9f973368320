"""Whether a series of samples grows: its line after the warm-up, and the height of its peaks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

WARM_UP = 1 / 3  # of a run: caches fill, pools open, the allocator finds its size
BINS = 30
FEWEST = 4
PEAK_SHARE = 0.4  # peaks that grow with time are higher by half in the later half; chance makes less of it


@dataclass(frozen=True, slots=True)
class EnduranceVerdict:
    """What became of one series after the warm-up.

    `rise` is how far its line climbs from start to end, and `noise` how far it swings about that line anyway.
    `new_height` is how far the highest of the later half is above the highest of the earlier half, or above a ceiling
    that is higher still, and `peak` how far that one of the earlier half stood out itself. It grows if the line rises
    by more than `allowed` and the noise, or if the new height is more than `allowed` and a part of the peak.
    """

    name: str
    level: float
    rise: float
    noise: float
    new_height: float
    peak: float
    allowed: float

    @property
    def grows(self) -> bool:
        """Whether the line rises, or the peaks become higher, by more than chance makes them."""
        return self.rise > self.allowed + self.noise or self.new_height > self.allowed + PEAK_SHARE * self.peak

    def __str__(self) -> str:
        """The verdict in one line, with the figures that it was made from."""
        return (
            f"{'GROWS' if self.grows else 'flat '} {self.name}: about {self.level:,.1f}, "
            f"rise {self.rise:+,.1f} (allowed {self.allowed + self.noise:,.1f}), "
            f"new height {self.new_height:+,.1f} (allowed {self.allowed + PEAK_SHARE * self.peak:,.1f})"
        )


def judge(
    name: str, points: Sequence[tuple[float, float]], *, allowed: float, warm_up: float = WARM_UP, ceiling: float = 0
) -> EnduranceVerdict:
    """Judge the values of `points`, (time, value) in the order of time, that come after the warm-up.

    A peak below `ceiling` is no new height: so high a value may be at any time.

    The line is that of Theil and Sen, through the medians of equal spans of time: single peaks do not turn it.
    """
    first, last = points[0][0], points[-1][0]
    points = [point for point in points if point[0] >= first + (last - first) * warm_up]
    if len(points) < FEWEST:
        raise ValueError(f"{name}: {len(points)} values after the warm-up tell nothing")
    start, end = points[0][0], points[-1][0]
    values = [value for _, value in points]
    spans = list(_medians(points, start, (end - start) / BINS))
    slope = median((b - a) / (s - r) for (r, a), (s, b) in combinations(spans, 2))
    middle = (start + end) / 2
    earlier = [value for at, value in points if at < middle]
    later = [value for at, value in points if at >= middle]
    on_the_line = [value - slope * (at - start) for at, value in points]
    center = median(on_the_line)
    return EnduranceVerdict(
        name=name,
        level=median(values),
        rise=slope * (end - start),
        noise=2 * median(abs(value - center) for value in on_the_line),
        new_height=max(later) - max(*earlier, ceiling),
        peak=max(earlier) - median(earlier),
        allowed=allowed,
    )


def _medians(points: Sequence[tuple[float, float]], start: float, width: float) -> Iterable[tuple[float, float]]:
    bins: dict[int, list[tuple[float, float]]] = {}
    for at, value in points:
        bins.setdefault(int((at - start) / width), []).append((at, value))
    for each in bins.values():
        yield median(at for at, _ in each), median(value for _, value in each)


def series(samples: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """Samples with a time `at`, as a series for each other name; a name that a sample lacks was 0 then."""
    names = {name: None for sample in samples for name in sample if name != "at"}
    return {name: [(sample["at"], sample.get(name, 0)) for sample in samples] for name in names}


def is_own(table: str) -> bool:
    """Whether a table is the service's: the name of a library's begins with the library's, and a space."""
    return " " not in table
