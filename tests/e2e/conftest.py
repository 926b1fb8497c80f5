"""One Asterisk and one telephone network for the session; fresh people and a fresh engine for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.asterisk.server import AsteriskServer
from engine.demo.softphones import PhoneNetwork
from tests.e2e.aftermath import complaints
from tests.e2e.harness import PREFIX, Installation, People, asterisk_settings, free_base_port

SHARED = {"people", "installation"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses what the session shares runs on the session's event loop."""
    for item in items:
        if SHARED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


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
    async with PhoneNetwork(far_end, recordings=tmp_path_factory.mktemp("softphones")) as network:
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
    wrong = await complaints(session_installation, people)
    await people.network.hang_up()
    await session_installation.stop()
    if wrong:
        pytest.fail(
            "\n".join(["after the test:", *wrong]) + session_installation.last_words(15), pytrace=False
        )
