"""What several contract suites share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL that lasts for the whole run; without one the test is skipped."""
    with postgres.server_or_skip() as url:
        yield url
