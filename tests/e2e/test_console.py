"""The console in a real browser, on a real store and a real folder of recordings. No Asterisk is needed."""

from __future__ import annotations

import re
import shutil
import struct
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import pi, sin
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

pytest.importorskip("playwright", reason="no playwright: pip install -e '.[dev]'")
from playwright.async_api import Browser, Page, Response, async_playwright, expect

from engine.console import Component, ConsoleDeps, Settings, auth, make_app
from engine.domain.events import (
    Accepted,
    CallAnswered,
    CallEnded,
    CallStarted,
    DialEnded,
    DialStarted,
    Event,
    NumberTold,
    RecordingAnnounced,
    RecordingAttached,
    RobocallAnswered,
    StepStarted,
    TextDelivered,
    TextQueued,
    TextSent,
)
from engine.domain.model import CallKind, Outcome, Urgency, Via
from engine.flows import verbs
from engine.flows.deps import Deps
from engine.recordings.folder import RecordingFolder
from engine.store import Store
from engine.store.accounts import Access
from tests.fakes.console import company

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
pytestmark = [
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]


class SystemTime:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class House:
    """A running console and all that is behind it."""

    store: Store
    flows: Deps
    recordings: RecordingFolder
    live: Path
    deps: ConsoleDeps
    runner: web.AppRunner | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen: on a free port, then always on that one."""
        self.runner = web.AppRunner(make_app(self.deps), access_log=None, shutdown_timeout=2)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        """As if the engine were stopped: every connection ends."""
        assert self.runner is not None
        await self.runner.cleanup()

    async def link(self, user: str) -> str:
        return await auth.create_link(self.store.accounts, user, self.flows.clock.now(), self.url)

    async def burst(self, owner: str = "demo", title: str = "Прорыв стояка холодной воды") -> int:
        """An emergency, as the API would open it."""
        return await verbs.open_ticket(
            self.flows,
            next(c for c in self.flows.companies() if c.id == owner),
            channel="phone",
            urgency=Urgency.EMERGENCY,
            cause="water.riser",
            title=title,
            house="lenina15",
            flat="42",
            text="Течёт с потолка, вода на площадке",
            phone="+79160000042",
        )

    async def record(self, call: str, seconds: float) -> float:
        """Put a call's two legs on disk, as the dialplan does, and keep them; returns the recording's length."""
        for side, tone in (("in", 220), ("out", 330)):
            with wave.open(str(self.live / f"{call}-{side}.wav"), "wb") as leg:
                leg.setnchannels(1)
                leg.setsampwidth(2)
                leg.setframerate(8000)
                turns = 0 if side == "in" else 1
                samples = (
                    int(9000 * sin(2 * pi * tone * at / 8000) * abs(sin(at / 2600)))
                    if int(at / 12000) % 2 == turns
                    else 0
                    for at in range(int(seconds * 8000))
                )
                leg.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
        kept = await self.recordings.finish("demo", call, seconds)
        assert kept is not None
        return kept.seconds

    async def tell(self, ticket: int, *events: Event) -> None:
        await self.store.append(ticket, events)

    async def a_whole_story(self) -> int:
        """A ticket with everything on its timeline: busy, declined, accepted; texts; two recordings."""
        number = await self.burst()
        at = (await self.store.history(number))[0].at

        def later(seconds: float) -> datetime:
            nonlocal at
            at += timedelta(seconds=seconds)
            return at

        people = company().contacts
        brigade = tuple(people[id].callee(Urgency.EMERGENCY) for id in ("plumber1", "plumber2"))
        call = f"{number}-resident"
        await self.tell(
            number,
            CallStarted(
                at=later(0.1), call=call, kind=CallKind.RESIDENT, number="+79160000042", did="+74950000112"
            ),
            CallAnswered(at=later(0.1), call=call),
            RecordingAnnounced(at=later(2), call=call),
            StepStarted(at=later(0.01), round=1, index=0, step="brigade", people=brigade, missing=()),
            self._text(number, later(0.01), "plumber1"),
            self._dial(number, later(0.01), 1, "plumber1", "Пётр Сантехник", "+79000000001"),
            NumberTold(at=later(1), call=call),
            TextSent(at=later(0.1), text=f"{number}-t-plumber1", provider="log"),
            DialEnded(at=later(1), attempt=f"{number}-1", outcome=Outcome.BUSY, cause=17),
            self._dial(number, later(0.02), 2, "plumber2", "Павел Слесарь", "+79000000002"),
            TextDelivered(at=later(1), text=f"{number}-t-plumber1"),
            RobocallAnswered(at=later(4), attempt=f"{number}-2", accept_key="7"),
            DialEnded(at=later(6), attempt=f"{number}-2", outcome=Outcome.DECLINED, reason="no_coverage"),
        )
        seconds = await self.record(call, 6.0)
        await self.tell(
            number,
            CallEnded(at=later(1), call=call, by="caller", seconds=6.0),
            RecordingAttached(at=later(0.2), recording=call, call=call, seconds=seconds),
            self._dial(number, later(0.02), 3, "director", "Дмитрий Директор", "+79000000004"),
            RobocallAnswered(at=later(5), attempt=f"{number}-3", accept_key="8"),
            CallStarted(
                at=at, call=f"{number}-3", kind=CallKind.ROBOCALL, number="+79000000004", contact="director"
            ),
            CallAnswered(at=at, call=f"{number}-3"),
            Accepted(
                at=later(9), contact="director", via=Via.CALL, name="Дмитрий Директор", attempt=f"{number}-3"
            ),
            DialEnded(at=later(1), attempt=f"{number}-3", outcome=Outcome.ACCEPTED),
            CallEnded(at=later(0.1), call=f"{number}-3", by="us", seconds=4.0),
        )
        seconds = await self.record(f"{number}-3", 4.0)
        await self.tell(
            number,
            RecordingAttached(at=later(0.3), recording=f"{number}-3", call=f"{number}-3", seconds=seconds),
        )
        return number

    @staticmethod
    def _dial(ticket: int, at: datetime, n: int, contact: str, name: str, number: str) -> DialStarted:
        return DialStarted(
            at=at,
            attempt=f"{ticket}-{n}",
            contact=contact,
            name=name,
            number=number,
            step="brigade",
            round=1,
            index=0,
        )

    @staticmethod
    def _text(ticket: int, at: datetime, contact: str) -> TextQueued:
        body = f"Авария №{ticket}: прорыв стояка, ул. Ленина, 15, кв. 42. Принять: ответьте 1"
        return TextQueued(
            at=at, text=f"{ticket}-t-{contact}", number="+79000000001", body=body, contact=contact
        )


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """A console on a free port of loopback, with users of both companies."""
    live = folder / "live"
    live.mkdir()
    companies = [company(), company("other", "Другая УК")]
    components = {"asterisk": Component(True, "up"), "store": Component(True, "up")}

    async def health() -> Mapping[str, Component]:
        return components

    async with (
        Store.open(f"sqlite:///{folder / 'dozvon.sqlite'}") as store,
        RecordingFolder(folder / "recordings", live).open() as recordings,
    ):

        async def audit(
            at: datetime, who: str, what: str, ticket: int | None = None, recording: str | None = None
        ) -> None:
            await store.accounts.record(Access(at, who, what, ticket, recording))

        nobody = cast(Any, None)
        flows = Deps(
            store=store,
            phone=nobody,
            voice=nobody,
            recordings=recordings,
            texts=nobody,
            clock=SystemTime(),
            companies=lambda: companies,
        )
        now = flows.clock.now()
        await auth.add_user(
            store.accounts, "svetlana", "supervisor", now, "demo", password="очень длинный пароль"
        )
        await auth.add_user(store.accounts, "stranger", "supervisor", now, "other")
        await auth.add_user(store.accounts, "admin", "admin", now)
        deps = ConsoleDeps(flows, store.read, store.accounts, audit, recordings, health, Settings())
        house = House(store, flows, recordings, live, deps)
        await house.start()
        try:
            yield house
        finally:
            await house.stop()


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


async def visit(browser: Browser, house: House, user: str, **options: Any) -> tuple[Page, list[str]]:
    """A new visitor, signed in by a one-time link; and what the browser's console complains of."""
    page = await (await browser.new_context(locale="ru-RU", **options)).new_page()
    page.set_default_timeout(8_000)
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(await house.link(user))
    await page.get_by_role("button", name="Войти").click()
    await page.wait_for_url("**/tickets")
    return page, complaints


async def test_from_the_link_to_the_recording(house: House, browser: Browser) -> None:
    number = await house.a_whole_story()
    page, complaints = await visit(browser, house, "svetlana")
    await page.locator(f"#ticket-{number}").click()
    await expect(page.locator("h1")).to_have_text("Прорыв стояка холодной воды")
    line = page.locator(".line", has_text="Звоним: Пётр Сантехник")
    await expect(line).to_contain_text("попытка 1")
    await expect(line).to_contain_text("занято")
    assert re.search(r"\+7\s900\s\*\*\*", await line.inner_text())
    await expect(page.locator(".line.good", has_text="Принято: Дмитрий Директор")).to_be_visible()
    player = page.locator(f"#player-{number}-resident")
    await expect(player).to_have_class(re.compile("drawn"))
    played = await player.evaluate(
        """async (player) => {
            const audio = player.querySelector("audio");
            await audio.play();
            while (!(audio.currentTime > 0.2)) await new Promise((on) => setTimeout(on, 20));
            audio.pause();
            return [player.wave.getDuration(), audio.duration, player.wave.getDecodedData().numberOfChannels];
        }"""
    )
    assert played[0] == pytest.approx(6.0, abs=0.3)
    assert played[1] == pytest.approx(6.0, abs=0.3)
    assert played[2] == 2
    heard = await house.store.accounts.audit(ticket=number)
    assert [(access.who, access.what, access.recording) for access in heard] == [
        ("svetlana", "listen", f"{number}-resident")
    ]
    assert complaints == []


async def test_a_link_works_once_and_looking_burns_nothing(house: House, browser: Browser) -> None:
    link = await house.link("svetlana")
    previewer = await browser.new_context()
    assert (await previewer.request.get(link)).status == 200
    for status in (200, 410):
        page = await (await browser.new_context()).new_page()
        await page.goto(link)
        async with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            await page.get_by_role("button", name="Войти").click()
        answer: Response = await answered.value
        assert answer.status == (303 if status == 200 else 410)


async def test_a_new_ticket_appears_and_changes_by_itself(house: House, browser: Browser) -> None:
    page, complaints = await visit(browser, house, "svetlana")
    await expect(page.locator(".empty")).to_be_visible()
    number = await house.burst()
    row = page.locator(f"#ticket-{number}")
    await expect(row).to_contain_text("никто ещё не принял")
    await expect(row).to_have_class(re.compile("alarming.*fresh"))
    await expect(page).to_have_title(re.compile(r"^\(1\)"))
    first = await row.locator("[data-since]").inner_text()
    await expect(row.locator("[data-since]")).not_to_have_text(first)
    await verbs.accept(house.flows, number, "plumber1", Via.SMS, "Пётр Сантехник")
    await expect(row).to_contain_text("принято: Пётр Сантехник")
    await expect(page).not_to_have_title(re.compile(r"^\(1\)"))
    assert complaints == []


async def test_a_ticket_is_followed_and_accepted(house: House, browser: Browser) -> None:
    number = await house.burst()
    page, complaints = await visit(browser, house, "svetlana")
    await page.goto(f"{house.url}/tickets/{number}")
    await page.get_by_label("Заметка").fill("уже пишу")
    await house.tell(
        number, House._dial(number, house.flows.clock.now(), 1, "plumber1", "Пётр Сантехник", "+79000000001")
    )
    await expect(page.locator(".line", has_text="Звоним: Пётр Сантехник")).to_contain_text("звонит")
    await expect(page.get_by_label("Заметка")).to_have_value("уже пишу")
    await expect(page.locator("select[name=contact]")).to_have_value("supervisor")
    await page.get_by_role("button", name="Принять").click()
    await expect(page.locator(".said.good")).to_have_text("Принято.")
    await expect(page.locator(".head .good")).to_have_text("Светлана Мастер")
    accepted = [event for event in await house.store.history(number) if isinstance(event, Accepted)]
    assert [(event.contact, event.via) for event in accepted] == [("supervisor", Via.CONSOLE)]
    await page.get_by_label("Заметка").fill("<b>Перекрыли</b> стояк")
    await page.get_by_role("button", name="Добавить заметку").click()
    await expect(page.locator(".line", has_text="<b>Перекрыли</b> стояк")).to_be_visible()
    await page.locator("#ending summary").click()
    await page.get_by_label("Чем кончилось").fill("Кран заменён")
    await page.locator("#ending button").click()
    await expect(page.locator(".head .status")).to_have_text("Закрыта")
    assert complaints == []


async def test_a_page_catches_up_after_a_restart(house: House, browser: Browser) -> None:
    number = await house.burst()
    page, _ = await visit(browser, house, "svetlana")
    await page.goto(f"{house.url}/tickets/{number}")
    await verbs.note(house.flows, number, "svetlana", "пока связь есть")
    await expect(page.locator(".line", has_text="пока связь есть")).to_be_visible()
    await house.stop()
    await expect(page.locator("html.cut")).to_have_count(1)
    await verbs.note(house.flows, number, "svetlana", "пока никто не видит")
    await house.start()
    await expect(page.locator(".line", has_text="пока никто не видит")).to_be_visible(timeout=10_000)
    await expect(page.locator("html.cut")).to_have_count(0)


async def test_another_companys_ticket_is_invisible(house: House, browser: Browser) -> None:
    ours, theirs = await house.burst(), await house.burst("other", "Чужая авария")
    page, _ = await visit(browser, house, "svetlana")
    await expect(page.locator(f"#ticket-{ours}")).to_be_visible()
    await expect(page.locator(f"#ticket-{theirs}")).to_have_count(0)
    answer = await page.goto(f"{house.url}/tickets/{theirs}")
    assert answer is not None
    assert answer.status == 404
    assert "Чужая" not in await page.content()
    later = await house.burst("other", "Ещё одна чужая")
    mine = await house.burst()
    await page.goto(f"{house.url}/tickets")
    await expect(page.locator(f"#ticket-{mine}")).to_be_visible()
    await expect(page.locator(f"#ticket-{later}")).to_have_count(0)
    admin, _ = await visit(browser, house, "admin")
    await expect(admin.locator(f"#ticket-{later}")).to_contain_text("Другая УК")


async def test_it_can_be_read_without_javascript_and_on_a_phone(house: House, browser: Browser) -> None:
    number = await house.a_whole_story()
    page, _ = await visit(
        browser, house, "svetlana", java_script_enabled=False, viewport={"width": 360, "height": 740}
    )
    await page.locator(f"#ticket-{number}").click()
    await expect(page.locator(".line", has_text="Звоним: Дмитрий Директор")).to_contain_text("принято")
    await expect(page.locator("audio").first).to_be_visible()
    box = await page.locator("body").bounding_box()
    assert box is not None
    assert box["width"] <= 360
    await page.get_by_text("English").click()
    await expect(page.locator(".line", has_text="Calling Дмитрий Директор")).to_contain_text("accepted")


async def test_a_password_signs_in(house: House, browser: Browser) -> None:
    page = await (await browser.new_context()).new_page()
    number = await house.burst()
    await page.goto(f"{house.url}/tickets/{number}")
    await page.get_by_label("Имя").fill("svetlana")
    await page.get_by_label("Пароль").fill("не тот")
    await page.get_by_role("button", name="Войти").click()
    await expect(page.locator(".said.bad")).to_be_visible()
    await page.get_by_label("Имя").fill("svetlana")
    await page.get_by_label("Пароль").fill("очень длинный пароль")
    await page.get_by_role("button", name="Войти").click()
    await page.wait_for_url(f"**/tickets/{number}")
    await page.get_by_role("button", name="Выйти").click()
    await page.wait_for_url("**/login")
    await page.goto(f"{house.url}/tickets")
    assert "/login" in page.url
