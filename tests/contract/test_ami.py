"""The manager interface of a real Asterisk, over a line that can be cut or fall silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.asterisk.ami import Ami, AmiAddress, AmiAway, AmiFailed, AmiRefused
from engine.asterisk.settings import Trunk
from tests.contract.worlds import Wire, asterisk_alone

SOON = 10.0
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AmiAddress]:
    dead = Trunk("dead", "127.0.0.1", 9, calls_from=("192.0.2.1",), qualify_seconds=1)
    async with asterisk_alone(tmp_path_factory.mktemp("ami"), dead) as server:
        settings = server.settings
        yield AmiAddress("127.0.0.1", settings.ami_port, settings.ami_user, settings.ami_password)


@pytest_asyncio.fixture(loop_scope="module")
async def wire(address: AmiAddress) -> AsyncIterator[Wire]:
    async with Wire(address.port) as wire:
        yield wire


@pytest_asyncio.fixture(loop_scope="module")
async def ami(address: AmiAddress, wire: Wire) -> AsyncIterator[Ami]:
    through = AmiAddress("127.0.0.1", wire.port, address.username, address.secret)
    async with Ami(through, ping_seconds=0.2) as ami:
        yield ami


async def test_a_wrong_secret_is_said_at_once(address: AmiAddress) -> None:
    with pytest.raises(AmiRefused, match=r"refuses the AMI user «dozvon».*manager\.conf"):
        async with Ami(AmiAddress("127.0.0.1", address.port, "dozvon", "not-the-secret")):
            pytest.fail("let in")


async def test_asterisks_database(ami: Ami) -> None:
    family = "dozvon/fallback/+74950000112"
    await ami.db_put(family, "1", "+79000000001")
    assert await ami.db_get(family, "1") == "+79000000001"
    assert await ami.db_del(family, "1")
    assert not await ami.db_del(family, "1")
    assert await ami.db_get(family, "1") is None


async def test_russian_text_comes_back_whole(ami: Ami) -> None:
    text = "Прорыв стояка, ул. Ленина 15" * 8
    await ami.db_put("dozvon/test", "text", text)
    assert await ami.db_get("dozvon/test", "text") == text


async def test_endpoints_and_trunks(ami: Ami) -> None:
    trunks = await ami.trunks(["trunk", "no-such-trunk"])
    assert trunks["no-such-trunk"] is None
    assert (trunk := trunks["trunk"]) is not None
    assert trunk.reachable
    assert trunk.state == "Not in use"
    assert [*trunk.contacts.values()] == ["NonQualified"]


async def test_a_trunk_that_does_not_answer(ami: Ami) -> None:
    async with asyncio.timeout(SOON):
        while True:
            dead = (await ami.trunks(["dead"]))["dead"]
            assert dead is not None
            if not dead.reachable:
                break
            await asyncio.sleep(0.1)
    assert dead.contacts == {"sip:127.0.0.1:9": "Unreachable"}


async def test_no_channels_no_orphans(ami: Ami) -> None:
    assert await ami.channels() == []
    assert await ami.orphans(known=(), older_than=0) == []


async def test_asterisks_own_words(ami: Ami) -> None:
    with pytest.raises(AmiFailed, match=r"Invalid/unknown command"):
        await ami.action("NoSuchAction")


async def test_a_line_break_cannot_forge_an_action(ami: Ami) -> None:
    for fields in ({"Key": "x\r\n\r\nAction: Reload"}, {"Key\r\nAction": "x"}, {"Key": "x\ny"}):
        with pytest.raises(ValueError, match="AMI field"):
            await ami.action("DBGet", fields)


async def test_no_call_is_placed_here(ami: Ami) -> None:
    with pytest.raises(ValueError, match="ARI alone"):
        await ami.action("Originate", {"Channel": "PJSIP/x@trunk"})


async def test_a_cut_line_is_replaced_and_subscribers_are_told(ami: Ami, wire: Wire) -> None:
    with ami.events("Connected") as news:
        wire.cut()
        await asyncio.wait_for(anext(news), SOON)
        assert ami.health.connected
        assert await ami.channels() == []


async def test_a_silent_line_is_noticed(ami: Ami, wire: Wire) -> None:
    with ami.events("Connected") as news:
        wire.fall_silent()
        with pytest.raises(AmiAway):
            await ami.action("CoreStatus", timeout=0.3)
        async with asyncio.timeout(SOON):
            while ami.health.connected:
                await asyncio.sleep(0.05)
        assert ami.health.problem
        with pytest.raises(AmiAway):
            await ami.channels()
        wire.speak_again()
        await asyncio.wait_for(anext(news), SOON)


async def test_an_asterisk_that_is_away_is_waited_for() -> None:
    async with Ami(AmiAddress("127.0.0.1", 1, "dozvon", "secret")) as ami:
        assert not ami.health.connected
        assert ami.health.problem
        with pytest.raises(AmiAway):
            await ami.channels()
