"""Numbers for people: how many of something, and how many bytes."""

KIB = 1024


def counted(count: int, noun: str, plural: str = "") -> str:
    """How many of something: `1 page`, `1,000 pages`; `plural` is for nouns that take more than an `s`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def size_of(size: float) -> str:
    """A number of bytes in a unit that people can read."""
    if size < KIB:
        return f"{size:.0f} B"
    return f"{size / KIB:,.1f} KiB" if size < KIB**2 else f"{size / KIB**2:,.1f} MiB"
