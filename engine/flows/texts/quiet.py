"""Notices a gateway that takes texts and lets them vanish: no report comes of any. Nothing else would tell, until it matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.domain.texts import Fate
from engine.ports import Delivery, Report, Store

QUIET_AFTER = timedelta(minutes=30)
ENOUGH = 5
"""So many texts without any report are no accident. A probe is enough by itself."""


@dataclass(slots=True)
class _Probe:
    """A text that was sent only to see whether it arrives."""

    id: str
    at: datetime
    references: tuple[str, ...] = ()


@dataclass(slots=True)
class Ears:
    """What each provider was given since it last reported on anything, and what is wrong by that."""

    _sent: dict[str, list[tuple[datetime, int, str]]] = field(default_factory=dict)
    """By provider, when which text of which ticket was sent: the oldest ones, as many as are enough."""
    _probes: dict[str, _Probe] = field(default_factory=dict)
    _quiet: dict[str, str] = field(default_factory=dict)

    @property
    def quiet(self) -> Mapping[str, str]:
        """By provider of which no report comes, in words for the people on duty."""
        return self._quiet

    def sent(self, provider: str, ticket: int, text: str, at: datetime) -> None:
        """A text was taken, and the provider says that it reports."""
        texts = self._sent.setdefault(provider, [])
        if len(texts) < ENOUGH:
            texts.append((at, ticket, text))

    def probing(self, provider: str, id: str, at: datetime) -> None:
        """A probe is about to be sent."""
        self._probes[provider] = _Probe(id, at)

    def probed(self, provider: str, references: tuple[str, ...], reports: bool) -> None:
        """It was taken. Its report may have come before this."""
        if provider in self._probes and reports:
            self._probes[provider].references = references
        else:
            self._probes.pop(provider, None)

    def probe_failed(self, provider: str, why: str) -> None:
        """It was not taken."""
        self._probes.pop(provider, None)
        self._quiet[provider] = f"{provider}: проверочное SMS не ушло ({why})"

    def heard(self, report: Report) -> bool:
        """Something was reported, so reports come. Whether it was about a probe."""
        provider, probe = report.provider, self._probes.get(report.provider)
        self._sent.pop(provider, None)
        self._quiet.pop(provider, None)
        about = probe is not None and (report.text == probe.id or report.reference in probe.references)
        if about and report.state is not Delivery.WAITING:
            del self._probes[provider]
            if report.state is Delivery.FAILED:
                self._quiet[provider] = f"{provider}: проверочное SMS не доставлено ({report.reason})"
        return about

    async def listen(self, now: datetime, store: Store) -> None:
        """See who is quiet. What another engine on the same database was told counts too."""
        for provider, texts in list(self._sent.items()):
            if len(texts) < ENOUGH or now - texts[-1][0] < QUIET_AFTER:
                continue
            unheard = [one for one in texts if not await _reported(store, provider, one[1], one[2])]
            if len(unheard) < ENOUGH:
                self._sent[provider] = unheard
                continue
            since = texts[0][0].astimezone(UTC)
            self._quiet[provider] = f"{provider}: с {since:%H:%M} UTC ни одного отчёта о доставке"
        for provider, probe in list(self._probes.items()):
            if now - probe.at >= QUIET_AFTER:
                self._quiet[provider] = f"{provider}: проверочное SMS не дошло"


async def _reported(store: Store, provider: str, ticket: int, text: str) -> bool:
    fate = Fate.of(text, await store.history(ticket))
    return fate.delivered or fate.failed or provider in fate.undelivered
