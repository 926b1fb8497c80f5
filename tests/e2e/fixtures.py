"""One Asterisk and one telephone network for the session; fresh people and a fresh engine for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.asterisk.server import AsteriskServer
from engine.demo.softphones import PhoneNetwork
from engine.domain import wording
from engine.speech.engines import find_engines
from engine.speech.voice import SpokenVoice
from tests.alone import among_others
from tests.e2e.aftermath import complaints
from tests.e2e.harness import (
    PREFIX,
    VOICES,
    Installation,
    People,
    asterisk_settings,
)
from tests.e2e.stories import Stories
from tests.ports import free_base_port

SHARED = {"people", "installation", "told"}


def mark_who_shares(items: list[pytest.Item]) -> None:
    """Whoever uses what the session shares runs on the session's event loop."""
    telling: set[Path] = set()
    for item in items:
        uses = SHARED & set(getattr(item, "fixturenames", ()))
        if uses:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        if "told" in uses:
            telling.add(item.path)
        elif "installation" in uses and item.path in telling:
            raise pytest.UsageError(f"{item.nodeid} would end the stories before it: write it above them")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_asterisk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsteriskServer]:
    """A real Asterisk with the demo trunk, on free ports; its data directory is the installation's."""
    pytest.importorskip("pjsua2", reason="no softphones: pip install -e '.[demo]'")
    if not PREFIX.exists():
        pytest.skip("no Asterisk in .cache/asterisk: run `make setup`")
    data_dir = tmp_path_factory.mktemp("e2e") / "var"
    async with AsteriskServer(asterisk_settings(data_dir, free_base_port()), dies_with_parent=True) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_network(
    session_asterisk: AsteriskServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PhoneNetwork]:
    far_end = session_asterisk.settings.base_port + 50
    spoken = SpokenVoice(find_engines(VOICES, "anna"), session_asterisk.settings.sounds_dir / "spoken")

    async def prompt(text: str) -> Path:
        """The very file that the engine played, or would play."""
        return Path((await spoken.speak(text)).removeprefix("sound:") + ".wav")

    folder = tmp_path_factory.mktemp("softphones")
    async with spoken.open(), PhoneNetwork(far_end, recordings=folder, prompts=prompt) as network:
        await spoken.prepare(wording.fixed_parts())  # or the first calls would wait for them
        yield network


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session_installation(session_asterisk: AsteriskServer) -> AsyncIterator[Installation]:
    settings = session_asterisk.settings
    installation = Installation(session_asterisk, settings.run_dir.parent, settings.base_port)
    yield installation
    await installation.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def asterisk(session_asterisk: AsteriskServer) -> AsteriskServer:
    return session_asterisk


@pytest_asyncio.fixture(loop_scope="session")
async def people(session_network: PhoneNetwork) -> AsyncIterator[People]:
    """The demo company's staff and a resident, none of them with a script yet."""
    await session_network.reset()
    yield People.on(session_network)
    session_network.accept_key = None
    await session_network.reset()


@pytest_asyncio.fixture(loop_scope="session")
async def installation(
    session_installation: Installation, people: People, request: pytest.FixtureRequest
) -> AsyncIterator[Installation]:
    """A ready engine with fresh data. Tear-down fails on whatever `aftermath.complaints` finds."""
    await session_installation.begin()
    people.network.accept_key = session_installation.accept_key
    yield session_installation
    await put_away(session_installation, people)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(
    session_installation: Installation, session_network: PhoneNetwork, request: pytest.FixtureRequest
) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """The module's `story`s, all of them being told at once; when the last one is, tear-down looks at what they left."""
    stories: Stories = request.module.story
    await session_network.reset()
    await session_installation.begin(stories.write_company, **getattr(request.module, "ENVIRONMENT", {}))
    with among_others():
        async with stories.tell(session_installation, session_network) as tasks:
            yield tasks
            await asyncio.wait(tasks.values())
            await put_away(session_installation, People.on(session_network))
    session_network.accept_key = None
    await session_network.reset()


async def put_away(installation: Installation, people: People) -> None:
    """Stop the engine, and fail if anything is not as it must be when a test is over."""
    wrong = await complaints(installation, people)
    await people.network.hang_up()
    await installation.stop()
    if wrong:
        pytest.fail("\n".join(["after the test:", *wrong]) + installation.last_words(15), pytrace=False)
