"""Events of ARI: decoding, and the way of each to whoever listens, in order and without stalling the reader."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import cache
from types import TracebackType
from typing import Any, NewType, get_args

import msgspec
import structlog
from msgspec import Struct

from . import model
from .errors import AriError

log = structlog.get_logger(__name__)


class UnknownEvent(Struct, frozen=True, kw_only=True):
    """An event that our model does not know, or that does not fit it: kept as it came, never an exception."""

    type: str
    raw: dict[str, Any]
    reason: str


class Connected(Struct, frozen=True, kw_only=True):
    """Not Asterisk's but ours: the websocket is up. After a gap nothing is replayed: list, and rebuild."""

    again: bool


Event = model.Event | model.MissingParams | UnknownEvent | Connected
Sink = Callable[[Event], None]
Key = NewType("Key", tuple[str, str])


def channel(id: str) -> Key:
    """Everything about a channel, also as caller or peer of a `Dial`."""
    return Key(("channel", id))


def bridge(id: str) -> Key:
    return Key(("bridge", id))


def playback(id: str) -> Key:
    return Key(("playback", id))


def recording(name: str) -> Key:
    return Key(("recording", name))


def kind(event: type[Event]) -> Key:
    """Every event of one type, such as `kind(StasisStart)`."""
    return Key(("type", event.__name__))


_decoder: msgspec.json.Decoder[model.Event | model.MissingParams] = msgspec.json.Decoder(model.AnyEvent)


def decode(text: str | bytes) -> Event:
    """An event from the websocket. Raises msgspec.DecodeError only if it is not a JSON object at all."""
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        raw = msgspec.json.decode(text, type=dict[str, Any])
        return UnknownEvent(type=str(raw.get("type", "")), raw=raw, reason=str(error))


_IDENTITY = {
    model.Channel: ("channel", "id"),
    model.Bridge: ("bridge", "id"),
    model.Playback: ("playback", "id"),
    model.LiveRecording: ("recording", "name"),
}


@cache
def _subjects(event: type[Struct]) -> tuple[tuple[str, str, str], ...]:
    """(attribute, kind, identifying attribute) of each noun that an event type speaks of."""
    found = []
    for attribute in msgspec.structs.fields(event):
        for noun in get_args(attribute.type) or (attribute.type,):
            if noun in _IDENTITY:
                found.append((attribute.name, *_IDENTITY[noun]))
    return tuple(found)


def keys_of(event: Event) -> Iterator[Key]:
    """Under which keys an event is delivered: its type, and each noun that it speaks of, once."""
    yield kind(type(event))
    if isinstance(event, UnknownEvent):
        subject = event.raw.get("channel")
        if isinstance(subject, dict) and "id" in subject:
            yield channel(str(subject["id"]))
        return
    seen = set()
    for attribute, noun, identity in _subjects(type(event)):
        if (value := getattr(event, attribute)) is not None:
            key = Key((noun, getattr(value, identity)))
            if key not in seen:
                seen.add(key)
                yield key


class Router:
    """Hands each event to the sinks that listen under its keys, in order of arrival.

    A sink files the event and returns: it must not wait, and what it raises is logged and goes no further.
    """

    def __init__(self) -> None:
        self._sinks: defaultdict[Key, list[Sink]] = defaultdict(list)
        self._subscriptions: set[Subscription] = set()
        self._unknown: set[str] = set()

    def listen(self, sink: Sink, *keys: Key) -> Callable[[], None]:
        """Deliver to `sink` from now on; the returned function ends that, and may be called twice."""
        for key in keys:
            self._sinks[key].append(sink)

        def unlisten() -> None:
            for key in keys:
                sinks = self._sinks.get(key, [])
                if sink in sinks:
                    sinks.remove(sink)
                if not sinks:
                    self._sinks.pop(key, None)

        return unlisten

    def subscribe(self, *keys: Key) -> Subscription:
        """An ordered queue of what arrives under `keys`. Use it as a context manager, or close it."""
        subscription = Subscription(self, keys)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def dispatch(self, event: Event) -> None:
        if isinstance(event, UnknownEvent) and event.type not in self._unknown:
            self._unknown.add(event.type)
            log.warning("ARI event not understood, kept raw", event_type=event.type, reason=event.reason)
        for key in keys_of(event):
            for sink in tuple(self._sinks.get(key, ())):
                try:
                    sink(event)
                except Exception:
                    log.exception("ARI listener failed", event_type=type(event).__name__)

    def end(self, error: AriError) -> None:
        """No more events: every subscription raises `error` once its queue is empty."""
        for subscription in tuple(self._subscriptions):
            subscription.end(error)


class Subscription:
    """An ordered queue of events: `async for event in subscription`, or `await subscription.get()`."""

    def __init__(self, router: Router, keys: tuple[Key, ...]) -> None:
        self._router = router
        self._waiting: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._error: AriError | None = None
        self._unlisten = router.listen(self._put, *keys)

    def _put(self, event: Event) -> None:
        self._waiting.append(event)
        self._arrived.set()

    def end(self, error: AriError) -> None:
        self._error = error
        self._arrived.set()

    async def get(self) -> Event:
        """The next event, in order of arrival. Raises the client's fatal error when no more can come."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        self._unlisten()
        self._router.forget(self)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        return await self.get()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
