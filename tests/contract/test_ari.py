"""The ARI client against a real Asterisk whose line to us is cut, silent, taken over, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from engine.asterisk.ari import events, model
from engine.asterisk.ari.client import AriClient
from engine.asterisk.ari.errors import (
    AppReplaced,
    ClientClosed,
    Conflict,
    NotFound,
    Refused,
    ServerError,
    Unavailable,
)
from engine.asterisk.ari.rest import AriAddress
from engine.asterisk.settings import Trunk
from engine.domain.errors import HungUp, TelephonyAway
from engine.domain.model import Outcome
from engine.ports import Dial, DialFailed, Leg
from tests.contract.crowd import crowd
from tests.contract.worlds import DID, AsteriskWorld, Wire, asterisk_world, tone

ANNA, RESIDENT = "+79000000001", "+79160000042"
SOON = 10.0
TRUNKS = ("trunk", "crowd", "no-such-trunk")
CROWD, NO_SUCH_TRUNK = 1, 2
CUT_OFF = {2, 5, 8}
"""Last digits of those whose dial is cancelled some time: 2 rings for ever, the others may talk by then."""
pytestmark = pytest.mark.asyncio(loop_scope="module")
numbers = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asterisk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsteriskWorld]:
    async with crowd() as people:
        line = Trunk("crowd", "127.0.0.1", people.port, calls_from=("192.0.2.1",))
        async with asterisk_world(tmp_path_factory.mktemp("ari"), line) as world:
            world.crowd = people  # type: ignore[attr-defined]
            yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(asterisk: AsteriskWorld) -> AsyncIterator[AsteriskWorld]:
    """An engine's telephony over a wire."""
    async with Wire(asterisk.address.port) as wire:
        address = asterisk.address
        through = AriAddress("127.0.0.1", wire.port, address.username, address.password)
        await asterisk.engine_starts(through, TRUNKS)
        asterisk.wire = wire  # type: ignore[attr-defined]
        yield asterisk
        await asterisk.engine_stops()
    async with asyncio.timeout(SOON):
        while await asterisk.server.channels_count():
            await asyncio.sleep(0.05)
    await asterisk.forget()


def dial(ring_seconds: float = 10.0) -> Dial:
    return Dial(f"dial-{next(numbers)}", ANNA, ring_seconds, caller_id=DID)


async def back(world: AsteriskWorld) -> None:
    async with asyncio.timeout(SOON):
        await world.ari.ready()


async def until_down(world: AsteriskWorld) -> None:
    async with asyncio.timeout(SOON):
        while world.ari.connected:
            await asyncio.sleep(0.005)


# Words with Asterisk


async def test_a_wrong_password_is_said_at_once(asterisk: AsteriskWorld) -> None:
    address = AriAddress("127.0.0.1", asterisk.address.port, "dozvon", "not-the-password")
    with pytest.raises(Refused, match=r"refuses the ARI user «dozvon».*ari\.conf"):
        async with AriClient(address):
            pytest.fail("let in")
    assert "not-the-password" not in repr(address)


async def test_an_asterisk_that_is_away_is_waited_for(asterisk: AsteriskWorld) -> None:
    async with AriClient(AriAddress("127.0.0.1", 1, "dozvon", "secret")) as ari:
        assert not ari.connected
        with pytest.raises(Unavailable):
            await ari.channels.list()


async def test_errors_have_types_and_asterisks_own_words(world: AsteriskWorld) -> None:
    with pytest.raises(NotFound, match=r"POST /channels/no%20such/answer: 404 Channel not found") as missing:
        await world.ari.channels.answer("no such")
    assert isinstance(missing.value, LookupError)
    await world.ari.bridges.create(type="mixing", bridgeId="one")
    with pytest.raises(Conflict):
        await world.ari.bridges.create(type="mixing", bridgeId="one")
    await world.ari.bridges.destroy("one")
    with pytest.raises(ServerError, match="Allocation failed"):
        await world.ari.channels.originate(endpoint="PJSIP/1@no-such-trunk", app=world.ari.app)


async def test_an_unknown_trunk_is_a_failed_dial(world: AsteriskWorld) -> None:
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(Dial("dial-nowhere", ANNA, 5.0, trunk=NO_SUCH_TRUNK)):
            pass
    assert failed.value.outcome is Outcome.FAILED


async def test_what_is_not_a_number_reaches_no_dial_string(world: AsteriskWorld) -> None:
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(Dial("dial-x", "123@trunk&PJSIP/1", 5.0)):
            pass
    assert failed.value.outcome is Outcome.UNREACHABLE


async def test_a_second_client_of_the_same_name_is_fatal_to_the_first(world: AsteriskWorld) -> None:
    news = world.ari.subscribe(events.kind(model.StasisStart))
    async with AriClient(world.address):
        with pytest.raises(AppReplaced, match="another client"):
            await asyncio.wait_for(world.ari.watch(), SOON)
        with pytest.raises(AppReplaced):
            await news.get()


async def test_a_closed_client_ends_its_subscriptions(asterisk: AsteriskWorld) -> None:
    async with AriClient(asterisk.address) as ari:
        news = ari.subscribe(events.channel("any"))
    with pytest.raises(ClientClosed):
        await news.get()


async def test_nobody_who_listens_badly_holds_up_the_others(world: AsteriskWorld) -> None:
    def raises(event: events.Event) -> None:
        raise RuntimeError("a listener's own fault")

    world.ari.listen(raises, events.kind(model.StasisStart))
    unread = world.ari.subscribe(events.kind(model.Dial))
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        await leg.play(world.sound(0.2))
    assert isinstance(await unread.get(), model.Dial)
    unread.close()


# What AMD thinks


async def test_who_talks_on_and_on_is_taken_for_a_machine(world: AsteriskWorld, tmp_path: Path) -> None:
    tone(tmp_path / "greeting.wav", 6.0)
    world.phone(ANNA).answers().says(tmp_path / "greeting.wav")
    async with world.telephony.dial(dial()) as leg:
        playing = asyncio.create_task(leg.play(world.sound(1.0)))
        assert await asyncio.wait_for(leg.machine(), SOON) is not None
        await playing


async def test_who_says_a_word_and_listens_is_not(world: AsteriskWorld, tmp_path: Path) -> None:
    tone(tmp_path / "hello.wav", 0.5)
    world.phone(ANNA).answers().says(tmp_path / "hello.wav")
    async with world.telephony.dial(dial()) as leg:
        assert await asyncio.wait_for(leg.machine(), SOON) is None


async def test_an_opinion_that_nobody_waits_for_leaves_no_channel(world: AsteriskWorld) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        listening = asyncio.create_task(leg.machine())
        await asyncio.sleep(0.3)
        listening.cancel()
    async with asyncio.timeout(SOON):
        while await world.ari.channels.list():
            await asyncio.sleep(0.02)


# The line is cut


async def test_a_call_survives_a_cut(world: AsteriskWorld) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        playing = asyncio.create_task(leg.play(world.sound(1.0)))
        await asyncio.sleep(0.2)
        world.wire.cut()
        await until_down(world)
        await back(world)
        await asyncio.wait_for(playing, SOON)
        await world.phone(ANNA).history[-1].presses("6")
        assert await leg.key(SOON) == "6"


async def test_a_socket_that_opened_deaf_is_not_taken_for_a_connection(asterisk: AsteriskWorld) -> None:
    """Asterisk may bury the application of a new socket together with the old one's, which has just died: it stays open, and silent."""
    async with Wire(asterisk.address.port) as wire:
        wire.deafen_the_next()
        address = replace(asterisk.address, port=wire.port, app="deaf")
        async with AriClient(address) as client, asyncio.timeout(SOON):
            await client.ready()
            heard = client.subscribe(events.kind(model.ChannelUserevent))
            await client.events.userEvent("still-there", application=address.app)
            assert isinstance(event := await heard.get(), model.ChannelUserevent)
            assert event.eventname == "still-there"


async def test_a_sound_that_ended_in_the_gap_is_over(world: AsteriskWorld) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        playing = asyncio.create_task(leg.play(world.sound(0.5)))
        await asyncio.sleep(0.2)
        world.wire.fall_silent()
        await asyncio.sleep(0.6)
        world.wire.speak_again()
        await asyncio.wait_for(playing, SOON)
        assert leg.hung_up is None


async def test_who_hung_up_in_the_gap_is_gone(world: AsteriskWorld) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        waiting = asyncio.create_task(leg.key(SOON))
        await asyncio.sleep(0)
        world.wire.fall_silent()
        await world.phone(ANNA).history[-1].hangs_up()
        world.wire.speak_again()
        with pytest.raises(HungUp):
            await asyncio.wait_for(waiting, SOON)


async def test_who_called_in_the_gap_is_found(world: AsteriskWorld) -> None:
    world.wire.fall_silent()
    far = await world.calls(RESIDENT)
    await asyncio.sleep(0.3)
    world.wire.speak_again()
    async with asyncio.timeout(SOON):
        leg = await anext(aiter(world.telephony.inbound()))
    async with leg:
        await leg.answer()
        assert leg.number == RESIDENT
    await far.ended()


async def test_who_answered_in_the_gap_is_on_the_line(world: AsteriskWorld) -> None:
    world.phone(ANNA).answers(after=0.5)

    async def ring() -> None:
        async with world.telephony.dial(dial()) as leg:
            await leg.play(world.sound(0.2))

    ringing = asyncio.create_task(ring())
    await world.phone(ANNA).rang()
    world.wire.fall_silent()
    await asyncio.sleep(0.8)
    world.wire.speak_again()
    await asyncio.wait_for(ringing, SOON)


async def test_a_dial_that_ended_in_the_gap_is_lost(world: AsteriskWorld) -> None:
    world.phone(ANNA).rings(0.4).rejects(486)

    async def ring() -> None:
        async with world.telephony.dial(dial()):
            pass

    ringing = asyncio.create_task(ring())
    await (await world.phone(ANNA).rang()).reached()
    await asyncio.sleep(0.1)
    world.wire.fall_silent()
    await asyncio.sleep(0.6)
    world.wire.speak_again()
    with pytest.raises(DialFailed) as failed:
        await asyncio.wait_for(ringing, SOON)
    assert failed.value.outcome is Outcome.LOST


async def test_a_silent_line_is_noticed_and_replaced(world: AsteriskWorld) -> None:
    world.wire.fall_silent()
    await until_down(world)
    world.wire.speak_again()
    await back(world)
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        await leg.play(world.sound(0.2))


async def test_a_leg_whose_end_could_not_be_asked_for_is_ended_later(world: AsteriskWorld) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()):
        far = world.phone(ANNA).history[-1]
        world.wire.fall_silent()
        asyncio.get_running_loop().call_later(0.5, world.wire.speak_again)
    await far.ended(SOON)


async def test_telephony_away(world: AsteriskWorld) -> None:
    await world.ari.close()
    for question in (world.telephony.alive(), world.telephony.hang_up("any")):
        with pytest.raises(TelephonyAway):
            await question


# Many


@pytest.mark.parametrize(("calls", "at_once"), [(50, 1), pytest.param(200, 25, marks=pytest.mark.alone)])
async def test_many_legs_leave_no_channel(world: AsteriskWorld, calls: int, at_once: int) -> None:
    """As many callers as dials; of the dials some are busy, some are cancelled at any moment, most talk."""
    room = asyncio.Semaphore(at_once)
    ended: list[str] = []

    def many(n: int) -> Dial:
        return Dial(f"many-{calls}-{n}", f"+7900{n:07}", 30.0, trunk=CROWD)

    async def ring(n: int) -> None:
        async with room:
            try:
                async with asyncio.timeout(0.02 * (n % 10) if n % 10 in CUT_OFF else None):
                    async with world.telephony.dial(many(n)) as leg:
                        await leg.play(world.sound(0.05))
                        await leg.key(0.02)
                ended.append("talked")
            except DialFailed as failed:
                ended.append(failed.outcome)
            except TimeoutError:
                ended.append("cancelled")

    async def serve(leg: Leg) -> None:
        async with leg:
            await leg.answer()
            await leg.play(world.sound(0.05))
            ended.append("served")

    async def serve_all(group: asyncio.TaskGroup) -> None:
        legs = aiter(world.telephony.inbound())
        for _ in range(calls):
            group.create_task(serve(await anext(legs)))

    async with asyncio.TaskGroup() as group:
        group.create_task(serve_all(group))
        for n in range(calls):
            group.create_task(ring(n))
            world.crowd.calls(f"+7916{n:07}", DID, ("127.0.0.1", world.server.settings.sip_port))
            await asyncio.sleep(0.005)
    async with asyncio.timeout(SOON):
        while await world.server.channels_count() or world.crowd.talking:
            await asyncio.sleep(0.05)
    assert len(ended) == 2 * calls
    assert ended.count("served") == calls
    assert ended.count(Outcome.BUSY) == calls // 10
    assert ended.count("cancelled") >= calls // 10
    assert ended.count("talked") >= calls // 10 * 6
    assert await world.bridges() == 0


async def test_the_committed_client_is_what_this_asterisk_describes(asterisk: AsteriskWorld) -> None:
    from engine.asterisk.ari import generate

    apis = generate.read(asterisk.server.settings.rest_api_dir)
    here = Path(generate.__file__).parent
    assert generate.model_source(apis) == (here / "model.py").read_text(encoding="utf-8")
    assert generate.operations_source(apis) == (here / "operations.py").read_text(encoding="utf-8")
