"""Does a machine answer? Asterisk's AMD listens beside the talk, on a channel of its own, so that nobody waits for its opinion."""

from __future__ import annotations

import asyncio

import structlog

from .ari import events, model
from .ari.client import AriClient
from .ari.errors import AriError
from .errands import Errands

log = structlog.get_logger(__name__)

CONTEXT = "dozvon-amd"
LISTENING, SAID = "amd", "amd-said"
"""First arguments of the listening channel's two `StasisStart`s: before AMD, and with its opinion."""
OPINION_SECONDS = 8.0


async def suspicion(ari: AriClient, errands: Errands, channel: str) -> str | None:
    """Why AMD takes the far end of `channel` for a machine, None if it does not or cannot tell. Silence is a machine to it.

    Takes 1–6 s. Cancel it when the opinion is of no use any more; the listening channel is ended in any case.
    """
    snoop = f"{channel}-{LISTENING}"
    heard = ari.subscribe(events.channel(snoop))
    try:
        async with asyncio.timeout(OPINION_SECONDS):
            await ari.channels.snoopChannelWithId(channel, snoop, app=ari.app, spy="in", appArgs=LISTENING)
            while True:
                match await heard.get():
                    case model.StasisStart(args=[stage, *_]) if stage == LISTENING:
                        await ari.channels.continueInDialplan(
                            snoop, context=CONTEXT, extension="s", priority=1
                        )
                    case model.StasisStart(args=[stage, status, *why]) if stage == SAID:
                        return (",".join(why) or status) if status == "MACHINE" else None
                    case model.ChannelDestroyed():
                        return None
    except (AriError, TimeoutError):
        return None
    finally:
        heard.close()
        errands.begin(end(ari, snoop), "end-amd")


async def end(ari: AriClient, snoop: str) -> None:
    """Hang up the listening channel; that it is gone already is what we want."""
    try:
        await ari.channels.hangup(snoop)
    except AriError as error:
        log.debug("the listening channel is gone", call=snoop, reason=str(error))
