"""`email-processor run`, which looks at itself every two seconds: `python -m bench.endurance.inside FILE`.

The service is the one that is installed, started as its command starts it. A thread beside it walks all objects and
writes what it counted to FILE, one JSON line a look. It knows no table by name: whatever an object of the service or of
its AWS libraries holds in an attribute is counted, so that a table that is new is seen as well.
"""

import asyncio
import gc
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import orjson

from email_processor.cli import main as email_processor

LOOK_SECONDS = 2.0
PACKAGES = ("email_processor", "aiobotocore", "aioboto3", "aiohttp", "botocore", "prometheus_client")
SMALL = 64  # tables of up to so many entries are looked into, for tables of tables
FEW = 20  # kinds of which there are fewer are not listed

_WEAK = (WeakSet, WeakKeyDictionary, WeakValueDictionary)
_CONTAINERS = (dict, list, set, frozenset, deque, OrderedDict, bytearray, *_WEAK)
_WAITED_FOR = (asyncio.Event, asyncio.Lock, asyncio.Semaphore)
_CACHE = type(lru_cache(len))


def look() -> dict[str, Any]:
    """Count everything: `tables` by class and attribute, `kinds` of objects, tasks, and the allocator's blocks."""
    everything = gc.get_objects()
    kinds = Counter(map(type, everything))
    tables: Counter[str] = Counter()
    tasks = 0
    for thing in everything:
        kind: Any = type(thing)
        if kind is asyncio.Task:
            tasks += not thing.done()
        elif kind is _CACHE:
            tables["caches"] += thing.cache_info().currsize
        elif attributes := _attributes_of(kind):
            for name, value in attributes(thing):
                size = _size(value)
                if size:
                    tables[f"{_name(kind)}.{name}"] += size
    return {
        "at": time.monotonic(),
        "tasks": tasks,
        "objects": len(everything),
        "blocks": sys.getallocatedblocks(),
        "tables": tables,
        "kinds": {_name(kind): count for kind, count in kinds.items() if count >= FEW},
    }


@cache
def _attributes_of(kind: Hashable) -> Callable[[Any], Iterable[tuple[str, Any]]] | None:
    """How to read the attributes of objects of such a class, if they are ours to look at."""
    if not isinstance(kind, type) or _package(kind) not in PACKAGES:
        return None
    own = [getattr(each, "__slots__", ()) for each in kind.__mro__]
    slots = [name for names in own for name in ((names,) if isinstance(names, str) else names) if name != "__dict__"]

    def attributes(thing: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401 - any object
        yield from list(getattr(thing, "__dict__", {}).items())  # a copy in one step: the service goes on meanwhile
        for name in slots:
            yield name, getattr(thing, name, None)

    return attributes


def _size(value: Any) -> int:  # noqa: ANN401 - any object
    if isinstance(value, asyncio.Queue):
        return value.qsize()
    if isinstance(value, _WAITED_FOR):
        return len(value._waiters or ())  # noqa: SLF001 - nothing else tells
    if not isinstance(value, _CONTAINERS):
        return 0
    inner = list(value.values()) if isinstance(value, dict) and len(value) <= SMALL else ()
    return len(value) + sum(len(each) for each in inner if isinstance(each, _CONTAINERS))


def _package(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]  # of a class that describes a module it may be a descriptor


def _name(kind: type) -> str:
    package = _package(kind)
    return kind.__qualname__ if package in {"builtins", "email_processor"} else f"{package} {kind.__qualname__}"


def _watch(file: Path) -> None:
    with file.open("ab", buffering=0) as lines:
        while True:
            lines.write(orjson.dumps(look()) + b"\n")
            time.sleep(LOOK_SECONDS)


def main() -> None:
    """Start looking, then be the command; what it freezes could not be seen."""
    file = Path(sys.argv[1])
    gc.freeze = lambda: None
    threading.Thread(target=_watch, args=(file,), name="look", daemon=True).start()
    sys.argv = ["email-processor", "run"]
    email_processor()


if __name__ == "__main__":
    main()
