"""What somebody hears who waits: music, or the ringing tone."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from engine.domain.errors import TelephonyAway
from engine.ports import Leg, Sound

log = structlog.get_logger()

RINGING = Sound("tone:ring")
HOLD = Sound("tone:ring")
"""Where no music was made."""
PAUSE_SECONDS = 1.0


async def listen(leg: Leg, sound: Sound) -> None:
    """Play the sound again and again, until cancelled. Raises `HungUp`."""
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await leg.play(sound)
        except TelephonyAway as error:
            log.warning("music on hold stopped: Asterisk is away", call=leg.id, error=str(error))
        if asyncio.get_running_loop().time() - began < PAUSE_SECONDS:
            await asyncio.sleep(
                PAUSE_SECONDS
            )  # a sound that cannot be played must not be asked for in a tight loop


async def listen_for_key(leg: Leg, sound: Sound, seconds: float, keys: str) -> str | None:
    """Play the sound until one of `keys` is pressed (returned), or for `seconds` (None). Raises `HungUp`."""
    playing = asyncio.create_task(listen(leg, sound), name=f"hold {leg.id}")
    pressing = asyncio.create_task(_key(leg, keys), name=f"key {leg.id}")
    try:
        await asyncio.wait({playing, pressing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (pressing, playing):
            if task.done():
                return task.result()
        return None
    finally:
        await stop(playing, pressing)


async def _key(leg: Leg, keys: str) -> str:
    while True:
        key = await leg.key(3600.0)
        if key is not None and key in keys:
            return key


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """End tasks and wait until they are gone, whatever they come to."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # seen; what mattered was raised where it was awaited
