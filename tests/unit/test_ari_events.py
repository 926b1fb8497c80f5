"""ARI events: decoding what Asterisk sends, and the way of each to whoever listens."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engine.asterisk.ari import events, model
from engine.asterisk.ari.errors import ClientClosed

CHANNEL = {
    "id": "1795288232.1",
    "protocol_id": "x",
    "name": "PJSIP/trunk-00000001",
    "state": "Up",
    "caller": {"name": "", "number": "+79160000042"},
    "connected": {"name": "", "number": ""},
    "accountcode": "",
    "dialplan": {"context": "incoming", "exten": "s", "priority": 1, "app_name": "Stasis", "app_data": ""},
    "creationtime": "2026-11-21T19:10:32.000+0000",
    "language": "ru",
}


def sent(type: str, **fields: object) -> bytes:
    common = {"type": type, "application": "dozvon", "timestamp": "2026-11-21T19:10:32.000+0000"}
    return msgspec.json.encode({**common, "asterisk_id": "02:00", **fields})


def digit(key: str, id: str = "1795288232.1") -> bytes:
    return sent("ChannelDtmfReceived", digit=key, duration_ms=100, channel={**CHANNEL, "id": id})


def test_an_event_is_a_frozen_value_of_its_own_type() -> None:
    event = events.decode(digit("7"))
    assert isinstance(event, model.ChannelDtmfReceived)
    assert (event.digit, event.channel.id, event.channel.caller.number) == (
        "7",
        "1795288232.1",
        "+79160000042",
    )
    with pytest.raises(AttributeError):
        event.digit = "8"  # type: ignore[misc]


def test_fields_that_a_newer_asterisk_adds_are_no_matter() -> None:
    event = events.decode(sent("StasisEnd", channel={**CHANNEL, "novelty": 1}, novelty=[]))
    assert isinstance(event, model.StasisEnd)


def test_an_unknown_event_is_kept_raw() -> None:
    event = events.decode(sent("ChannelTeleported", channel=CHANNEL, where="Марс"))
    assert isinstance(event, events.UnknownEvent)
    assert (event.type, event.raw["where"]) == ("ChannelTeleported", "Марс")
    assert events.channel("1795288232.1") in set(events.keys_of(event))


def test_an_event_that_does_not_fit_is_kept_raw() -> None:
    event = events.decode(sent("ChannelDtmfReceived", channel=CHANNEL, digit=7))
    assert isinstance(event, events.UnknownEvent)
    assert "digit" in event.reason


def test_an_event_goes_to_each_of_its_nouns_once() -> None:
    dial = events.decode(sent("Dial", peer=CHANNEL, caller=CHANNEL, dialstatus="RINGING"))
    assert list(events.keys_of(dial)) == [events.kind(model.Dial), events.channel("1795288232.1")]


@pytest.mark.asyncio
async def test_a_subscription_keeps_the_order_and_hears_nothing_else() -> None:
    router = events.Router()
    with router.subscribe(events.channel("1795288232.1")) as news:
        for key, id in (("1", "1795288232.1"), ("9", "other"), ("2", "1795288232.1"), ("3", "1795288232.1")):
            router.dispatch(events.decode(digit(key, id)))
        heard = [await news.get() for _ in range(3)]
    assert [event.digit for event in heard if isinstance(event, model.ChannelDtmfReceived)] == ["1", "2", "3"]
    router.dispatch(events.decode(digit("4")))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(news.get(), 0)


@pytest.mark.asyncio
async def test_a_listener_that_raises_does_not_harm_the_next() -> None:
    router = events.Router()
    heard: list[events.Event] = []

    def raises(event: events.Event) -> None:
        raise RuntimeError("a listener's own fault")

    router.listen(raises, events.kind(model.ChannelDtmfReceived))
    unlisten = router.listen(heard.append, events.kind(model.ChannelDtmfReceived))
    router.dispatch(events.decode(digit("1")))
    assert len(heard) == 1
    unlisten()
    unlisten()
    router.dispatch(events.decode(digit("2")))
    assert len(heard) == 1


@pytest.mark.asyncio
async def test_what_has_come_is_read_before_the_end_is_told() -> None:
    router = events.Router()
    news = router.subscribe(events.channel("1795288232.1"))
    router.dispatch(events.decode(digit("1")))
    router.end(ClientClosed("websocket", "closed"))
    assert isinstance(await news.get(), model.ChannelDtmfReceived)
    with pytest.raises(ClientClosed):
        await news.get()
