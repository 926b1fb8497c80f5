"""What flows may rely on of telephony: the same on the fake network and on a real Asterisk with real softphones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest
import pytest_asyncio

from engine.domain.errors import AttemptExists, HungUp
from engine.domain.model import Outcome
from engine.ports import Cause, Dial, DialFailed, Leg
from tests.contract.worlds import DID, FakeWorld, World, asterisk_world

ANNA, BORIS = "+79000000001", "+79000000002"
RESIDENT = "+79160000042"
PROMPT_SECONDS = 1.0
SLACK = 3.0
"""Seconds by which a busy machine may be late."""
SOON = 5.0
"""Seconds that nothing in here takes; no test waits for them unless it fails."""

pytestmark = pytest.mark.asyncio(loop_scope="module")
numbers = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fake", "asterisk"])
async def universe(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    if request.param == "fake":
        yield FakeWorld()
    else:
        async with asterisk_world(tmp_path_factory.mktemp("telephony")) as world:
            await world.engine_starts()
            yield world
            await world.engine_stops()


@pytest_asyncio.fixture(loop_scope="module")
async def world(universe: World) -> AsyncIterator[World]:
    yield universe
    await nothing_is_left(universe)
    await universe.forget()


async def nothing_is_left(world: World) -> None:
    async with asyncio.timeout(SOON):
        while alive := await world.telephony.alive():
            await asyncio.sleep(0.01)
    assert not alive
    assert await world.bridges() == 0


def dial(number: str = ANNA, ring_seconds: float = 10.0) -> Dial:
    return Dial(f"attempt-{next(numbers)}", number, ring_seconds, caller_id=DID)


async def comes_in(world: World) -> Leg:
    async with asyncio.timeout(SOON):
        return await anext(aiter(world.telephony.inbound()))


# How a dial ends


@pytest.mark.parametrize(
    ("code", "rings", "outcome"),
    [
        (486, False, Outcome.BUSY),
        (486, True, Outcome.BUSY),
        (600, False, Outcome.BUSY),
        (603, True, Outcome.DECLINED),
        (403, True, Outcome.DECLINED),
        (403, False, Outcome.FAILED),
        (404, False, Outcome.UNREACHABLE),
        (410, False, Outcome.UNREACHABLE),
        (480, False, Outcome.UNREACHABLE),
        (480, True, Outcome.NO_ANSWER),
        (503, False, Outcome.FAILED),
        (500, False, Outcome.FAILED),
        (488, False, Outcome.FAILED),
    ],
)
async def test_a_refused_dial(world: World, code: int, rings: bool, outcome: Outcome) -> None:
    phone = world.phone(ANNA)
    (phone.rings(0.1) if rings else phone).rejects(code)
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(dial()):
            pytest.fail("nobody answered")
    assert failed.value.outcome is outcome
    assert failed.value.tech_cause == code


async def test_nobody_answers(world: World) -> None:
    world.phone(ANNA).rings_out()
    began = asyncio.get_running_loop().time()
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(dial(ring_seconds=1.2)):
            pass
    assert failed.value.outcome is Outcome.NO_ANSWER
    assert 1.2 <= asyncio.get_running_loop().time() - began < 1.2 + SLACK


async def test_a_phone_that_is_switched_off(world: World) -> None:
    world.phone(ANNA).silent()
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(dial(ring_seconds=1.0)):
            pass
    assert failed.value.outcome is Outcome.UNREACHABLE


async def test_a_phone_that_is_switched_off_is_known_before_the_ringing_time_is_over(world: World) -> None:
    world.phone(ANNA).silent()
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(dial(ring_seconds=15.0)):
            pass
    assert failed.value.outcome is Outcome.UNREACHABLE
    assert failed.value.tech_cause == 408


async def test_an_unknown_number(world: World) -> None:
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(dial("+79999999999")):
            pass
    assert failed.value.outcome is Outcome.UNREACHABLE


async def test_ringing_stops_when_cancelled(world: World) -> None:
    world.phone(ANNA).rings_out()
    one = dial()

    async def ring() -> None:
        async with world.telephony.dial(one):
            pass

    ringing = asyncio.create_task(ring())
    far = await world.phone(ANNA).rang()
    ringing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ringing
    await far.ended(SOON)
    assert one.attempt not in await world.telephony.alive()


async def test_cancelled_at_any_moment_of_the_dial_nothing_is_left(world: World) -> None:
    for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55):
        world.phone(ANNA).rings(0.01).answers()

        async def ring() -> None:
            async with world.telephony.dial(dial()) as leg:
                await leg.ended()

        ringing = asyncio.create_task(ring())
        for _ in range(turns):
            await asyncio.sleep(0.002)
        ringing.cancel()
        with suppress(asyncio.CancelledError):
            await ringing
        await nothing_is_left(world)


async def test_an_attempt_is_never_dialled_twice(world: World) -> None:
    world.phone(ANNA).answers()
    one = dial()
    async with world.telephony.dial(one) as leg:
        with pytest.raises(AttemptExists):
            async with world.telephony.dial(one):
                pass
        assert leg.hung_up is None
        assert one.attempt in await world.telephony.alive()
    assert len(world.phone(ANNA).history) == 1


async def test_an_attempt_of_another_engine_is_not_dialled_again_and_not_ended(world: World) -> None:
    world.phone(ANNA).answers()
    one = dial()
    old = world.telephony.dial(one)
    await old.__aenter__()
    await world.engine_restarts()
    with pytest.raises(AttemptExists):
        async with world.telephony.dial(one):
            pass
    assert one.attempt in await world.telephony.alive()
    await world.telephony.hang_up(one.attempt)


# A leg


async def test_an_answered_leg(world: World) -> None:
    world.phone(ANNA).answers()
    one = dial()
    async with world.telephony.dial(one) as leg:
        assert leg.id == one.attempt
        assert leg.number == ANNA
        assert leg.did is None
        assert leg.answered
        assert not leg.adopted
        assert leg.hung_up is None
        await leg.answer()
    assert (leg.hung_up, leg.ended_by) == (Cause.NORMAL, "us")
    await world.phone(ANNA).history[-1].ended(SOON)
    assert one.attempt not in await world.telephony.alive()


async def test_keys_come_in_order(world: World) -> None:
    world.phone(ANNA).answers().presses("1*9", after=0.2, gap=0.2)
    async with world.telephony.dial(dial()) as leg:
        assert [await leg.key(SOON) for _ in range(3)] == ["1", "*", "9"]
        assert await leg.key(0.05) is None


async def test_keys_pressed_early_wait(world: World) -> None:
    world.phone(ANNA).answers().presses("7")
    async with world.telephony.dial(dial()) as leg:
        await leg.play(world.sound(PROMPT_SECONDS))
        assert await leg.key(SLACK) == "7"


async def test_keys_can_be_forgotten(world: World) -> None:
    world.phone(ANNA).answers().presses("7")
    async with world.telephony.dial(dial()) as leg:
        await leg.play(world.sound(PROMPT_SECONDS))
        leg.forget_keys()
        assert await leg.key(0) is None


async def test_a_key_counts_even_if_its_owner_hung_up_since(world: World) -> None:
    world.phone(ANNA).answers().presses("7", after=0.1).hangs_up(0.5)
    async with world.telephony.dial(dial()) as leg:
        await leg.ended()
        assert await leg.key(SOON) == "7"
        with pytest.raises(HungUp):
            await leg.key(SOON)


async def test_sounds_are_played_to_their_end(world: World) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        began = asyncio.get_running_loop().time()
        await leg.play(world.sound(0.4), world.sound(0.6))
        assert 0.95 <= asyncio.get_running_loop().time() - began < 1.0 + SLACK
        await world.phone(ANNA).history[-1].hears(0.5, timeout=SOON)


async def test_cancelling_stops_the_sound(world: World) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        playing = asyncio.create_task(leg.play(world.sound(10.0), world.sound(10.0)))
        await world.phone(ANNA).history[-1].hears(0.1, timeout=SOON)
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(playing, 1.0)
        async with asyncio.timeout(SOON):  # not behind the rest of what was stopped
            await leg.play(world.sound(0.3))


async def test_a_sound_cancelled_at_once_is_not_heard_later(world: World) -> None:
    world.phone(ANNA).answers()
    async with world.telephony.dial(dial()) as leg:
        playing = asyncio.create_task(leg.play(world.sound(10.0)))
        await asyncio.sleep(0)
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
        async with asyncio.timeout(SOON):
            await leg.play(world.sound(0.3))


@pytest.mark.parametrize("awaited", ["play", "key", "ended"])
async def test_hanging_up_is_heard_in_whatever_is_awaited(world: World, awaited: str) -> None:
    world.phone(ANNA).answers().hangs_up(0.4)
    async with world.telephony.dial(dial()) as leg:
        began = asyncio.get_running_loop().time()
        if awaited == "ended":
            assert await leg.ended() == Cause.NORMAL
        else:
            with pytest.raises(HungUp) as hung:
                await (leg.play(world.sound(10.0)) if awaited == "play" else leg.key(10.0))
            assert hung.value.cause == Cause.NORMAL
        assert asyncio.get_running_loop().time() - began < 0.4 + SLACK
        assert (leg.hung_up, leg.ended_by) == (Cause.NORMAL, "caller")
        for again in (leg.play(world.sound(1.0)), leg.key(10.0)):
            with pytest.raises(HungUp):
                await again
        await leg.hang_up()


async def test_an_error_in_the_block_ends_the_leg(world: World) -> None:
    world.phone(ANNA).answers()
    with pytest.raises(ZeroDivisionError):
        async with world.telephony.dial(dial()):
            raise ZeroDivisionError
    await world.phone(ANNA).history[-1].ended(SOON)


async def test_cancelling_the_block_ends_the_leg(world: World) -> None:
    world.phone(ANNA).answers()
    up = asyncio.Event()

    async def talk() -> None:
        async with world.telephony.dial(dial()) as leg:
            up.set()
            await leg.play(world.sound(10.0))

    talking = asyncio.create_task(talk())
    await up.wait()
    talking.cancel()
    with suppress(asyncio.CancelledError):
        await talking
    await world.phone(ANNA).history[-1].ended(SOON)


async def test_any_channel_can_be_ended_by_its_id_twice(world: World) -> None:
    world.phone(ANNA).answers()
    one = dial()
    async with world.telephony.dial(one) as leg:
        await world.telephony.hang_up(one.attempt)
        await asyncio.wait_for(leg.ended(), SOON)
        assert leg.ended_by == "us"
        await world.telephony.hang_up(one.attempt)
    await world.telephony.hang_up("no-such-channel")


# Calls that come in


async def test_a_call_comes_in(world: World) -> None:
    far = await world.calls(RESIDENT)
    async with await comes_in(world) as leg:
        assert (leg.number, leg.did) == (RESIDENT, DID)
        assert not leg.answered
        assert not leg.adopted
        assert leg.id in await world.telephony.alive()
        await leg.answer()
        assert leg.answered
        await far.presses("5", after=0.3)
        assert await leg.key(SOON) == "5"
        await leg.play(world.sound(0.3))
        assert not far.over
    await far.ended(SOON)


async def test_a_call_that_was_handed_over_lives_on_without_us(world: World) -> None:
    call = await world.calls(RESIDENT)
    async with await comes_in(world) as leg:
        await leg.answer()
        await leg.hand_over()
    await asyncio.sleep(0.3)
    assert not call.over
    assert leg.id in await world.telephony.alive()
    await call.hangs_up()


async def test_a_number_written_the_national_way(world: World) -> None:
    if isinstance(world, FakeWorld):
        pytest.skip("the fake network writes numbers one way only")
    far = await world.calls("89160000042")
    async with await comes_in(world) as leg:
        assert leg.number == RESIDENT
    await far.ended(SOON)


async def test_a_withheld_number(world: World) -> None:
    far = await world.calls("anonymous")
    async with await comes_in(world) as leg:
        assert leg.number is None
    await far.ended(SOON)


async def test_a_caller_who_hangs_up_before_the_answer(world: World) -> None:
    far = await world.calls(RESIDENT)
    async with await comes_in(world) as leg:
        await far.hangs_up()
        await asyncio.wait_for(leg.ended(), SOON)  # the far end's CANCEL is on its way
        with pytest.raises(HungUp):
            await leg.answer()


async def test_a_caller_who_hangs_up(world: World) -> None:
    far = await world.calls(RESIDENT)
    async with await comes_in(world) as leg:
        await leg.answer()
        await far.presses("1", after=0.3)
        assert await leg.key(SOON) == "1"
        await far.hangs_up()
        with pytest.raises(HungUp):
            await leg.key(SOON)


async def test_calls_come_in_order(world: World) -> None:
    fars = [await world.calls(RESIDENT), await world.calls(ANNA)]
    legs = [await comes_in(world), await comes_in(world)]
    assert {leg.number for leg in legs} == {RESIDENT, ANNA}
    for leg in legs:
        async with leg:
            pass
    for far in fars:
        await far.ended(SOON)


# Two legs


async def test_two_legs_talk_while_the_block_lasts(world: World) -> None:
    world.phone(ANNA).answers()
    far = await world.calls(RESIDENT)
    async with await comes_in(world) as resident, world.telephony.dial(dial()) as anna:
        await resident.answer()
        async with world.telephony.bridge(resident, anna):
            assert await world.bridges() == 1
            await far.presses("3", after=0.2)
            assert await resident.key(SOON) == "3"
        assert await world.bridges() == 0
        await resident.play(world.sound(0.2))
        await anna.play(world.sound(0.2))
    await far.ended(SOON)


async def test_every_second_is_recorded_whatever_is_pressed(world: World) -> None:
    """Nobody speaks and nothing is played: a meter's reading is keyed in. Before a talk, and again when it is over."""
    reading, gap = "012#", 0.2
    world.phone(ANNA).answers()
    far = await world.calls(RESIDENT)
    async with await comes_in(world) as resident:
        await resident.answer()
        began = time.monotonic()
        await far.presses(reading, gap=gap)
        async with world.telephony.dial(dial()) as anna, world.telephony.bridge(resident, anna):
            assert await world.bridges() == 1
        await far.presses(reading, gap=gap)
        assert [await resident.key(SOON) for _ in 2 * reading] == [*2 * reading]
        seconds = time.monotonic() - began
        await far.hangs_up()
        await resident.ended()
    async with asyncio.timeout(SOON):  # until the file is closed
        while (recorded := world.recorded(resident.id)) is not None and recorded < seconds - 0.3:
            await asyncio.sleep(0.05)


async def test_three_legs_talk(world: World) -> None:
    for number in (ANNA, BORIS):
        world.phone(number).answers()
    far = await world.calls(RESIDENT)
    async with await comes_in(world) as resident, world.telephony.dial(dial()) as anna:
        await resident.answer()
        async with world.telephony.dial(dial(BORIS)) as boris:
            async with world.telephony.bridge(resident, anna):
                assert await world.bridges() == 1
            async with world.telephony.bridge(resident, anna, boris):
                assert await world.bridges() == 1
                await far.presses("3", after=0.2)
                assert await resident.key(SOON) == "3"
        assert await world.bridges() == 0
    await far.ended(SOON)


async def test_a_talk_is_taken_over_as_it_is(world: World) -> None:
    world.phone(ANNA).answers()
    far = await world.calls(RESIDENT)
    resident, one = await comes_in(world), dial()
    await resident.answer()
    dialling = world.telephony.dial(one)
    anna = await dialling.__aenter__()
    talking = world.telephony.bridge(resident, anna)
    await talking.__aenter__()
    await world.engine_restarts()
    assert await world.bridges() == 1
    again, adopted = await comes_in(world), world.telephony.adopt(one.attempt)
    assert adopted is not None
    async with again, adopted, world.telephony.bridge(adopted, again):
        assert await world.bridges() == 1
    assert await world.bridges() == 0
    await far.ended(SOON)
    del dialling, talking  # kept so long, or they would have been ended when they were forgotten


async def test_a_desk_phone_that_is_not_there(world: World) -> None:
    asked = replace(dial(), phone="operator9")
    with pytest.raises(DialFailed) as failed:
        async with world.telephony.dial(asked):
            pytest.fail("nobody answers there")
    assert failed.value.outcome is Outcome.UNREACHABLE


async def test_one_of_two_hangs_up(world: World) -> None:
    world.phone(ANNA).answers().hangs_up(0.6)
    world.phone(BORIS).answers()
    async with world.telephony.dial(dial()) as anna, world.telephony.dial(dial(BORIS)) as boris:
        async with world.telephony.bridge(anna, boris):
            assert await asyncio.wait_for(anna.ended(), SOON) == Cause.NORMAL
        await boris.play(world.sound(0.2))
        assert boris.hung_up is None
        with pytest.raises(HungUp):
            async with world.telephony.bridge(anna, boris):
                pytest.fail("there is nobody to talk to")


# The engine is killed and started again


async def test_live_legs_are_found_again(world: World) -> None:
    world.phone(ANNA).answers()
    far = await world.calls(RESIDENT)
    resident, one = await comes_in(world), dial()
    await resident.answer()
    staff = world.telephony.dial(one)  # held: what nobody holds is ended
    saying = asyncio.create_task((await staff.__aenter__()).play(world.sound(10.0)))
    await asyncio.sleep(0.2)
    await world.engine_restarts()

    async with await comes_in(world) as again:
        assert (again.id, again.number, again.did) == (resident.id, RESIDENT, DID)
        assert again.adopted
        assert again.answered
        await far.presses("4", after=0.2)
        assert await again.key(SOON) == "4"
    adopted = world.telephony.adopt(one.attempt)
    assert adopted is not None
    assert adopted.adopted
    assert world.telephony.adopt(one.attempt) is None
    async with adopted, asyncio.timeout(5):  # what the old engine was saying is not waited for
        await adopted.play(world.sound(0.2))
    await far.ended(SOON)
    saying.cancel()
    await asyncio.gather(saying, return_exceptions=True)


async def test_a_call_that_was_not_answered_yet_is_simply_new(world: World) -> None:
    far = await world.calls(RESIDENT)
    await comes_in(world)
    await world.engine_restarts()
    async with await comes_in(world) as leg:
        assert not leg.adopted
        await leg.answer()
    await far.ended(SOON)


async def test_a_phone_that_still_rings_can_be_stopped_after_a_restart(world: World) -> None:
    world.phone(ANNA).rings_out()
    one = dial()
    old = asyncio.create_task(world.telephony.dial(one).__aenter__())
    far = await world.phone(ANNA).rang()
    await world.engine_restarts()
    assert world.telephony.adopt(one.attempt) is None
    assert one.attempt in await world.telephony.alive()
    await world.telephony.hang_up(one.attempt)
    await far.ended(SOON)
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
