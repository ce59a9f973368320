"""`python -m bench.limiters` plays each limiter under all conditions, in virtual time, and prints a table."""

import sys

from bench.limiters.conditions import ALL, rows
from bench.limiters.policies import POLICIES


def main() -> int:
    """Play all and print."""
    sys.stdout.write(f"| | {' | '.join(POLICIES)} |\n| --- |{' ---: |' * len(POLICIES)}\n")
    for conditions in ALL:
        sys.stdout.write("".join(f"{line}\n" for line in rows(conditions)))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
