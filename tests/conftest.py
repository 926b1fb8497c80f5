"""What tests of several folders share: one real Asterisk, one telephone network and one engine for each test process."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.alone import alone, among_others
from tests.e2e.fixtures import (  # noqa: F401 - pytest finds fixtures by their names here
    asterisk,
    installation,
    mark_who_shares,
    people,
    session_asterisk,
    session_installation,
    session_network,
    told,
)

LONGEST = (
    "test_operators",
    "test_hotline",
    "test_failpoints",
    "test_disk_and_ports",
    "test_chaos",
    "test_demo",
)
"""Files that take a minute and more: they begin first, so that no process is left alone with one of them at the end."""
FOLDERS = ("crash", "e2e", "contract", "property", "unit")
settings.register_profile("gate", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
"""The gate says the same of a commit each time; `make explore` looks where nobody has looked yet."""

REAL = {"crash", "e2e", "contract"}


@pytest.fixture(autouse=True)
def company_of_others(request: pytest.FixtureRequest) -> Iterator[None]:
    """Who hears each second of a call is not disturbed by who places two hundred (`@pytest.mark.alone`)."""
    if request.node.path.parent.name not in REAL:
        yield
        return
    with alone() if request.node.get_closest_marker("alone") else among_others():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those first that have to be alone, as nobody has begun anything yet; then the long ones; everything else in its order."""
    mark_who_shares(items)
    items.sort(
        key=lambda item: (
            item.get_closest_marker("alone") is None,
            _place(LONGEST, item.path.stem),
            _place(FOLDERS, item.path.parent.name),
        )
    )


def _place(among: tuple[str, ...], name: str) -> int:
    return among.index(name) if name in among else len(among)
