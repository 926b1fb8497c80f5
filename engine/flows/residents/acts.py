"""The hands of the hotline: each move of the dialogue, done. Every effect looks at the timeline first, so that a replay repeats none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from engine.domain import clocks
from engine.domain import dialogue_moves as moves
from engine.domain.errors import NotKnown, StoreFailed
from engine.domain.events import Event, MeterRead, NumberTold, RecordingAnnounced
from engine.domain.meters import brought_up
from engine.domain.model import Premises, Urgency
from engine.domain.ticket import Ticket
from engine.flows import verbs
from engine.flows.residents import services

if TYPE_CHECKING:
    from engine.flows.hotline import Call

log = structlog.get_logger()

STORE_PAUSES_SECONDS = (0.2, 0.5)


class Acts:
    """Does the moves of one call."""

    def __init__(self, call: Call) -> None:
        self.call, self.d, self.talk = call, call.d, call.conversation
        self._key: Event | None = None
        """The first answer, to be written down in one commit with what it means."""

    async def act(self, move: moves.Move) -> moves.Heard:
        """Do it, and say what came of it. Raises `HungUp` as soon as the caller is gone."""
        act: Callable[[Any], Awaitable[moves.Heard]] = getattr(self, f"_{type(move).__name__.lower()}")
        return await act(move)

    # --- speaking and asking -------------------------------------------------------------------------------------------------------

    async def _announce(self, move: moves.Announce) -> None:
        mine = (e for e in await self.call.history() if isinstance(e, RecordingAnnounced))
        if all(event.call != self.call.leg.id for event in mine):
            if await self.talk.introduce(*move.parts):
                await self.call.note(RecordingAnnounced(at=self.d.clock.now(), call=self.call.leg.id))
            self.d.reached("hotline.announced")

    async def _say(self, move: moves.Say) -> None:
        if not self.call.replaying:
            await self.talk.say(*move.parts)

    async def _ask(self, move: moves.Ask) -> str | None:
        if (before := self.call.answered_before(move.question)) is not None:
            return getattr(before, "key", None)
        if not move.early and await self.talk.pressed_early():
            key = None
        else:
            key = await self.talk.ask(*move.parts, keys=move.keys, wait=move.wait, times=move.times)
        if move.question == "emergency":
            self._key = self.call.pressed(move.question, key)
            return key  # written down together with what it means
        await self.call.heard(move.question, key)
        return key

    async def _askdigits(self, move: moves.AskDigits) -> str | None:
        if (before := self.call.answered_before(move.question)) is not None:
            key = getattr(before, "key", None)
            return "" if key == "#" else key
        digits = await self.talk.ask_digits(*move.parts, most=move.most)
        await self.call.heard(move.question, digits)
        return digits

    async def _takemessage(self, move: moves.TakeMessage) -> None:
        """The caller speaks; the recording runs anyway, so there is nothing to start or to lose."""
        await self.talk.say(*move.parts)
        await self.talk.listen(self.d.message_seconds, end_keys="#")

    # --- what is written down ------------------------------------------------------------------------------------------------------

    async def _classify(self, move: moves.Classify) -> None:
        keys: list[Event] = [self._key] if self._key is not None else []
        call = self.call
        for pause in (*STORE_PAUSES_SECONDS, None):
            try:
                await verbs.classify(
                    self.d,
                    call.company,
                    call.ticket,
                    call.leg.id,
                    move.urgency,
                    move.cause,
                    move.title,
                    move.premises,
                    keys,
                )
                break
            except StoreFailed as error:
                log.error("a class was not written down", ticket=call.ticket, error=str(error))
                if pause is None:
                    raise  # nobody would be called: the dialplan's fallback must ring somebody
                await asyncio.sleep(pause)
        self._key = None
        self.d.reached("hotline.classified")

    async def _tellnumber(self, move: moves.TellNumber) -> None:
        told = (e for e in await self.call.history() if isinstance(e, NumberTold))
        if any(event.call in self.call.continues for event in told):
            return
        await self.talk.say(*move.parts)
        await self.call.note(NumberTold(at=self.d.clock.now(), call=self.call.leg.id))
        self.d.reached("hotline.number_told")

    async def _join(self, move: moves.Join) -> None:
        call, incident = self.call, move.incident
        joined = await verbs.join(
            self.d, incident.ticket, call.ticket, call.leg.id, move.premises, call.caller
        )
        if (
            not joined
        ):  # it is over since this call began: the voice stays a request of its own, for somebody to hear
            title = f"{incident.title}: снова, см. заявку {incident.ticket}"
            urgency = Urgency.URGENT
            await verbs.classify(self.d, call.company, call.ticket, call.leg.id, urgency, title=title)
        self.d.reached("hotline.joined")

    async def _takereading(self, move: moves.TakeReading) -> None:
        meter = move.meter
        for event in await self.call.history():
            if (
                isinstance(event, MeterRead)
                and event.call in self.call.continues
                and (event.meter, event.value) == (meter.id, move.value)
            ):
                return
        read = MeterRead(
            at=self.d.clock.now(),
            house=meter.house,
            flat=meter.flat,
            meter=meter.id,
            value=move.value,
            call=self.call.leg.id,
            unusual=move.unusual,
        )
        await self.d.store.append(self.call.ticket, [read])

    async def _settle(self, move: moves.Settle) -> None:
        await verbs.close(self.d, self.call.ticket, "hotline", move.reason)

    # --- other people --------------------------------------------------------------------------------------------------------------

    async def _handover(self, move: moves.HandOver) -> str | None:
        call = self.call
        with self.d.lobby.engaged(call.ticket, call.leg):
            talked = await services.hand_over(
                self.talk, call.ticket, call.company, move.service, move.parts, move.brief, self.d
            )
        return "talked" if talked else None

    async def _calloperator(self, move: moves.CallOperator) -> str | None:
        if self.d.operators is None:
            return None
        return "talked" if await self.d.operators.serve(self.talk, self.call) else None

    # --- looking things up ---------------------------------------------------------------------------------------------------------

    async def _lookup(self, move: moves.LookUp) -> moves.Found:
        if move.number is not None:
            numbers = [move.number]
        else:
            numbers = [
                n for n in await self.d.store.open_tickets(self.call.company.id) if n != self.call.ticket
            ]
        briefs = [brief for n in numbers if (brief := await self._brief(n, move.premises))]
        return moves.Found(tuple(reversed(briefs)))

    async def _brief(self, number: int, premises: Premises | None) -> moves.Brief | None:
        """A ticket, if it is the caller's to hear of: of this company, and of that flat."""
        company = self.call.company
        try:
            state = Ticket.of(await self.d.store.history(number))
        except NotKnown:
            return None
        here, there = state.premises, premises or Premises()
        if state.company != company.id or here.flat != there.flat:
            return None
        if there.house is not None and here.house != there.house:
            return None
        due = None
        cause = company.catalogue.cause(state.cause)
        if cause is not None and state.opened_at is not None:
            due = clocks.planned(state.opened_at, cause.clock, company.zone_of(here.house), company.limits)
        return moves.Brief(number, state.title, state.status, due)

    async def _lookatmeters(self, move: moves.LookAtMeters) -> moves.Meters:
        meters = self.call.company.meters_of(move.house, move.flat)
        if not meters:
            return moves.Meters()
        readings = await self.d.store.readings(self.call.company.id, move.house, move.flat)
        earlier = [event for _, event in readings if event.call not in self.call.continues]
        return moves.Meters(brought_up(meters, earlier))
