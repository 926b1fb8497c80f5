"""The engine is stopped in order (an upgrade) while people talk: their calls stay up, and the next engine goes on with them."""

from __future__ import annotations

from tests.crash.test_failpoints import shortened
from tests.e2e.harness import Installation, People

QUESTION_SECONDS = 20.0


async def test_a_stop_in_order_hangs_up_on_nobody(installation: Installation, people: People) -> None:
    await installation.begin(shortened)
    people.plumber.answers().hears(0.5).presses_accept_key()
    call = await people.call_the_hotline(installation.base_port)
    await call.hears(1.0, timeout=QUESTION_SECONDS)
    ticket = await installation.wait_ticket()

    await installation.restart()  # SIGTERM, and another engine

    assert not call.over
    await installation.wait_event(ticket, "CallResumed")
    await call.hears_pause(timeout=QUESTION_SECONDS)
    await call.presses("1")
    await installation.wait_event(ticket, "Accepted", 40)
    await call.hangs_up()
    await installation.wait_event(ticket, "CallEnded", 20, by="caller")
