"""What tests of several folders share: one real Asterisk, one telephone network and one engine for the whole session."""

from tests.e2e.fixtures import (  # noqa: F401 - pytest finds fixtures and hooks by their names here
    asterisk,
    installation,
    people,
    pytest_collection_modifyitems,
    session_asterisk,
    session_installation,
    session_network,
    told,
)
