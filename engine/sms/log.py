"""No gateway is configured: a text goes to the log, and to whoever reads `GET /api/v1/texts`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import structlog

from engine.ports import Handed, Heard, Message

log = structlog.get_logger()

NAME = "log"


class LoggedTexts:
    """`ports.Texts` that tells what it would have sent. Never pretends a delivery: the provider is called `log`."""

    async def send(self, message: Message, avoid: Collection[str] = ()) -> Handed:
        """Write the message to the log (its number is masked there)."""
        if NAME in avoid:
            raise LookupError("there is no other way to send a text than the log")
        log.info("text (no gateway is configured)", to=message.number, text=message.id, body=message.body)
        return Handed(NAME)

    async def probe(self) -> Mapping[str, str | None]:
        """No gateway, nothing wrong with it."""
        return {}

    async def serve(self, heard: Heard) -> None:
        """Nothing ever comes in."""
        return
