"""Virtual time: it moves on whenever somebody waits, however little."""

import asyncio
from math import inf, nextafter

from tests.simulation.loop import Driver


def test_what_is_due_less_than_a_tick_from_now_is_due_later() -> None:
    """By the last digit of a float: at the same tick, who asks again until it is that time would ask for ever."""
    driver = Driver()

    async def wait() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(68.915478)  # of which, in ticks, the next float is no other number
        late: asyncio.Future[float] = loop.create_future()
        due = nextafter(loop.time(), inf)
        loop.call_at(due, lambda: late.set_result(loop.time() - due))
        return await late

    assert driver.complete(wait()) > 0
