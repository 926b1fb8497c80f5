"""The tree of errors. An expected outcome of a call (busy, declined, …) is a value, not one of these."""

from __future__ import annotations


class DozvonError(Exception):
    """Everything that Dozvon raises on purpose. The text tells the operator what to do."""


class NotKnown(DozvonError, LookupError):
    """Something was named that does not exist: a ticket, a contact, a company."""


class TicketIsClosed(DozvonError, ValueError):
    """The ticket is closed, so what was asked of it makes no sense any more; reopen it first."""


class HungUp(DozvonError):
    """The far end (or the network) ended the leg. Raised from whatever a flow awaits on that leg.

    `cause` is the Q.850 hang-up cause (16 normal clearing).
    """

    def __init__(self, cause: int = 16) -> None:
        super().__init__(f"the leg was hung up, Q.850 cause {cause}")
        self.cause = cause


class AttemptExists(DozvonError):
    """A channel of that id is already up: this attempt has been originated before. Never dial it twice."""


class TelephonyAway(DozvonError, ConnectionError):
    """Asterisk cannot be reached now. What was asked may or may not have happened; reconcile when it is back."""


class StoreFailed(DozvonError, OSError):
    """The store could not make a fact durable (disk full, file gone). Nothing was half-written."""


class VoiceFailed(DozvonError):
    """A text could not be turned into speech."""


class StoreInUse(DozvonError):
    """Another process works on this database file. Stop that one first, or use PostgreSQL to run several engines."""


class FeedLost(DozvonError):
    """A consumer of the feed of events missed some (too slow, or the database was away): read the histories, and open it anew."""
