"""AMI: what panoramisk alone gets wrong, against a peer that plays Asterisk byte by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.asterisk.ami import Ami, AmiAddress, AmiAway, AmiFailed
from engine.asterisk.ami_protocol import checked

SOON = 5.0


class Manager:
    """A manager interface that logs everybody in, answers pings, and leaves the rest to the test."""

    def __init__(self) -> None:
        self.actions: list[dict[str, str]] = []
        self.connections = 0
        self.line: asyncio.StreamWriter
        self._arrived = asyncio.Event()
        self._server: asyncio.Server

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.line = writer
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        while True:
            try:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
            except (asyncio.IncompleteReadError, OSError):
                break
            action = dict(re.findall(r"^(\w+): (.*?)\r$", text, re.M))
            if action["Action"] in ("Login", "Ping"):
                writer.write(
                    f"Response: Success\r\nActionID: {action['ActionID']}\r\nMessage: ok\r\n\r\n".encode()
                )
                continue
            self.actions.append(action)
            self._arrived.set()
        writer.close()

    async def asked(self) -> str:
        """The id of the next action that the test has to answer."""
        async with asyncio.timeout(SOON):
            await self._arrived.wait()
        self._arrived.clear()
        return self.actions[-1]["ActionID"]

    def says(self, text: str) -> None:
        self.line.write((text.replace("\n", "\r\n") + "\r\n\r\n").encode())


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[Manager]:
    yield (manager := Manager())
    manager.close()


@pytest_asyncio.fixture
async def ami(manager: Manager) -> AsyncIterator[Ami]:
    async with Ami(AmiAddress("127.0.0.1", await manager.open(), "dozvon", "secret")) as ami:
        yield ami


async def test_a_letter_split_across_two_segments(ami: Ami, manager: Manager) -> None:
    with ami.events("UserEvent") as news:
        data = "Event: UserEvent\r\nText: Прорыв\r\n\r\n".encode()
        cut = data.index("о".encode()) + 1  # in the middle of a letter
        manager.line.write(data[:cut])
        await manager.line.drain()
        await asyncio.sleep(0.02)  # two segments, not one
        manager.line.write(data[cut:])
        event = await asyncio.wait_for(anext(news), SOON)
    assert event["text"] == "Прорыв"


async def test_an_answer_that_panoramisk_chokes_on(ami: Ami, manager: Manager) -> None:
    """It looks for a header `async` in what was asked, when the answer says «successfully queued»."""
    asking = asyncio.create_task(ami.action("Redirect"))
    manager.says(
        f"Response: Success\nActionID: {await manager.asked()}\nMessage: Redirect successfully queued"
    )
    with pytest.raises(AmiAway, match="could not be understood"):
        await asyncio.wait_for(asking, SOON)
    assert ami.health.connected
    assert manager.connections == 1


async def test_an_answer_that_does_not_come(ami: Ami, manager: Manager) -> None:
    with pytest.raises(AmiAway, match=r"no answer to the action Reload within 0\.05 s"):
        await ami.action("Reload", timeout=0.05)


async def test_nothing_is_sent_again_after_a_reconnect(ami: Ami, manager: Manager) -> None:
    with ami.events("Connected") as news:
        asking = asyncio.create_task(ami.action("Reload"))
        await manager.asked()
        manager.line.transport.abort()
        with pytest.raises(AmiAway, match="was lost"):
            await asyncio.wait_for(asking, SOON)
        await asyncio.wait_for(anext(news), SOON)
    await ami.action("Ping")
    assert manager.connections == 2
    assert [action["Action"] for action in manager.actions] == ["Reload"]


async def test_a_shutdown_is_a_lost_connection(ami: Ami, manager: Manager) -> None:
    with ami.events("Connected") as news:
        manager.says("Event: Shutdown\nShutdown: Cleanly")
        await asyncio.wait_for(anext(news), SOON)
    assert manager.connections == 2


async def test_closing_while_waiting_to_connect_again_really_closes(manager: Manager) -> None:
    port = await manager.open()
    async with Ami(AmiAddress("127.0.0.1", port, "dozvon", "secret")) as ami:
        manager.close()
        manager.line.transport.abort()
        async with asyncio.timeout(SOON):
            while ami.health.connected:
                await asyncio.sleep(0.01)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "ami"]
    assert manager.connections == 1


async def test_asterisks_error(ami: Ami, manager: Manager) -> None:
    asking = asyncio.create_task(ami.action("Reload"))
    manager.says(f"Response: Error\nActionID: {await manager.asked()}\nMessage: No such module")
    with pytest.raises(AmiFailed, match="No such module"):
        await asyncio.wait_for(asking, SOON)


async def test_a_list(ami: Ami, manager: Manager) -> None:
    asking = asyncio.create_task(ami.orphans(known={"one"}, older_than=60))
    id = await manager.asked()
    manager.says(f"Response: Success\nActionID: {id}\nEventList: start\nMessage: Channels will follow")
    for name, duration in (("one", "01:00:00"), ("two", "00:00:59"), ("three", "00:01:00")):
        manager.says(
            f"Event: CoreShowChannel\nActionID: {id}\nUniqueid: {name}\nChannel: PJSIP/trunk-1\nChannelStateDesc: Up\n"
            f"Context: incoming\nApplication: Stasis\nApplicationData: dozvon,inbound\nDuration: {duration}"
        )
    manager.says(f"Event: CoreShowChannelsComplete\nActionID: {id}\nEventList: Complete\nListItems: 3")
    assert [(each.id, each.seconds) for each in await asyncio.wait_for(asking, SOON)] == [("three", 60)]


@pytest.mark.parametrize("fields", [{"Key": "a\r\nAction: x"}, {"Key": "a\0"}, {"Key:": "a"}, {"": "a"}])
def test_fields_that_would_forge_an_action(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="AMI field"):
        checked(fields)
