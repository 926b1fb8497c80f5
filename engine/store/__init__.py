"""Timelines on disk: SQLite by default, PostgreSQL with the same code. `Store.open` is the way in."""

from engine.store.accounts import Access, Token, User
from engine.store.codec import Unknown, plain, type_of
from engine.store.rows import CallRow, RecordingRow, TextRow, TicketRow
from engine.store.store import Store

__all__ = [
    "Access",
    "CallRow",
    "RecordingRow",
    "Store",
    "TextRow",
    "TicketRow",
    "Token",
    "Unknown",
    "User",
    "plain",
    "type_of",
]
