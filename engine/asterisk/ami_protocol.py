"""panoramisk's AMI protocol, with its reproduced faults guarded (docs/adr/0003)."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol

from engine.domain.errors import TelephonyAway

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_FORBIDDEN = re.compile(r"[\r\n\0]")

Fields = Mapping[str, str]


class AmiAway(TelephonyAway):
    """The manager interface gave no answer. What was asked may or may not have been done; nothing is sent again."""


class _Everything:
    """panoramisk sends an unanswered action again after a reconnect, unless it is in this collection: all are."""

    def __contains__(self, action: object) -> bool:
        return True


class Line:
    """What panoramisk's protocol expects of its manager; ours only passes things on."""

    save_stream = None
    forgetable_actions = _Everything()

    def __init__(self, on_event: Callable[[Fields], None], on_lost: Callable[[], None]) -> None:
        self.awaiting_actions: list[Action] = []
        self._on_event = on_event
        self._on_lost = on_lost

    def dispatch(self, event: Any) -> None:
        self._on_event(as_fields(event))

    def connection_lost(self, reason: object) -> None:
        self._on_lost()


class GuardedProtocol(AMIProtocol):  # type: ignore[misc]
    """One connection. Use `ask`; the rest is called by asyncio."""

    encoding = "utf-8"

    def __init__(self, line: Line) -> None:
        self._line = line
        self._decoder = codecs.getincrementaldecoder(self.encoding)("replace")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.factory = self._line

    def data_received(self, data: bytes) -> None:
        """A letter may come in two segments: only whole ones go on, else panoramisk drops both halves."""
        if text := self._decoder.decode(data):
            super().data_received(text.encode(self.encoding))

    def handle_message(self, message: Any) -> None:
        """What one message does wrong must not close the connection, nor leave its asker waiting."""
        try:
            super().handle_message(message)
        except Exception as error:
            log.exception("AMI message could not be handled", event_name=message.get("event"))
            action = self.responses.pop(message.id, None)
            if action is not None and not action.future.done():
                action.future.set_exception(AmiAway(f"the answer could not be understood: {error}"))

    async def ask(self, name: str, fields: Fields, timeout: float) -> list[Fields]:
        """The answer: one message, or a list's events between its first and its last message.

        Raises AmiAway if none comes in `timeout` seconds, ValueError for fields that would forge another action.
        """
        action = Action({"Action": name, **checked(fields)})
        if self.closed:
            raise AmiAway("the connection to Asterisk's manager is lost")
        self.send(action, as_list=None)  # let the answer say whether it is a list
        try:
            async with asyncio.timeout(timeout):
                answer = await action.future
        except TimeoutError:
            raise AmiAway(f"no answer to the action {name} within {timeout:g} s") from None
        finally:
            self.responses.pop(action.id, None)
        return [as_fields(each) for each in (answer if isinstance(answer, list) else [answer])]

    def close(self) -> None:
        """Whoever waits for an answer is told, which panoramisk forgets for actions that it will not repeat."""
        for action in tuple(self.responses.values()):
            if not action.future.done():
                action.future.set_exception(AmiAway("the connection to Asterisk's manager was lost"))
        super().close()


def checked(fields: Fields) -> Fields:
    """The fields as they are. Raises ValueError for a line break, which would begin an action of its own."""
    for name, value in fields.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of an AMI field")
        if _FORBIDDEN.search(str(value)):
            raise ValueError(f"the AMI field {name} must not contain a line break")
    return fields


def as_fields(message: Any) -> Fields:
    """A plain mapping with names in lower case; a field that comes several times has a line for each."""
    return {
        str(name).lower(): "\n".join(value) if isinstance(value, list) else str(value)
        for name, value in message.items()
    }
