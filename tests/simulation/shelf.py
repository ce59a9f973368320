"""The simulation's bucket for who reads it: as `Shelf`."""

from dataclasses import dataclass

from email_processor.domain.errors import Cause, StoreFaultError
from email_processor.ports import Listed, ListedPage, Stored
from tests.simulation.connection import FETCH, PUT, Connection, Fates
from tests.simulation.world import SimBucket

PAGE = 1000
NOTHING = b"no such object"  # no object of these tests is this


@dataclass(frozen=True, slots=True)
class SimShelf:
    """The bucket as one process sees it. To its faults LIST is a read, as GET is, and DELETE a write, as PUT is."""

    bucket: SimBucket
    connection: Connection
    page_size: int = PAGE

    @classmethod
    def of(cls, bucket: SimBucket, who: str = "main", faults: Fates | None = None, page_size: int = PAGE) -> "SimShelf":
        """A connection of `who` to the bucket."""
        return cls(bucket, Connection(bucket.driver, bucket.facts, faults or bucket.script, who), page_size)

    async def page(self, prefix: str, after: str) -> ListedPage:
        """The first objects in the order of UTF-8."""
        return await self.connection.call(FETCH, ("LIST", prefix, after), lambda _: self._page(prefix, after))

    async def get(self, key: str) -> bytes | None:
        """An object's bytes."""
        found = await self.connection.call(FETCH, ("GET", key), lambda _: self.bucket.objects.get(key, NOTHING))
        return None if found is NOTHING else found

    async def put(self, key: str, document: bytes) -> Stored:
        """Store `document` unless `key` is there already."""
        who = self.connection.who
        return await self.connection.call(PUT, ("PUT", key), lambda _: self.bucket.put(who, key, document))

    async def delete(self, key: str) -> None:
        """Delete an object."""

        def effect() -> bool:
            self.bucket.objects.pop(key, None)
            return True

        await self.connection.call(PUT, ("DELETE", key), lambda _: effect())

    def _page(self, prefix: str, after: str) -> ListedPage | Exception:
        if any(part in prefix for part in self.bucket.denied):
            return StoreFaultError(Cause.DENIED, f"ListObjectsV2 {prefix}: simulated")
        keys = (key for key in self.bucket.objects if key.startswith(prefix) and key.encode() > after.encode())
        found = [Listed(key, len(self.bucket.objects[key])) for key in sorted(keys, key=str.encode)]
        return ListedPage(found[: self.page_size], len(found) <= self.page_size)
