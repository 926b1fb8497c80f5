"""The pages: who gets in, what a form must carry, what every answer forbids, and words for everything."""

from __future__ import annotations

import asyncio
import re
import string
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from engine.console import auth, make_app
from engine.console.timeline import Teller
from engine.console.words import LANGUAGES, Words, duration, masked, phone
from engine.domain.events import EVENT_TYPES, Event, TicketOpened
from engine.domain.model import Urgency, Via
from engine.flows import verbs
from tests.fakes.console import START, World, company, world

CONSOLE = Path(auth.__file__).parent


@pytest.fixture
def w(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
async def client(w: World) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(make_app(w.deps))) as client:
        yield client


def ours(client: TestClient[Any, Any]) -> dict[str, str]:
    return {"Origin": str(client.make_url("")).rstrip("/")}


async def enter(
    client: TestClient[Any, Any], w: World, name: str, role: str, company: str | None = None
) -> str:
    """Sign in by a link; returns the token that forms carry."""
    await auth.add_user(w.accounts, name, role, w.clock.now(), company)
    link = await auth.create_link(w.accounts, name, w.clock.now(), "")
    answer = await client.post(link, headers=ours(client), allow_redirects=False)
    assert answer.status == 303
    cookie = answer.cookies["dozvon_session"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    return auth.csrf_token(cookie.value)


async def burst(w: World, owner: str = "demo") -> int:
    return await verbs.open_ticket(
        w.deps.flows,
        company(owner),
        channel="phone",
        urgency=Urgency.EMERGENCY,
        cause="water.riser",
        title="Прорыв",
        house="lenina15",
        flat="42",
        phone="+79160000042",
    )


async def test_nobody_gets_in_without_signing_in(client: TestClient[Any, Any], w: World) -> None:
    await burst(w)
    for path in ("/", "/tickets", "/tickets/1001"):
        answer = await client.get(path)
        assert answer.url.path == "/login"
    for path in ("/live/tickets", "/live/tickets/1001"):
        answer = await client.get(path)
        assert (answer.status, answer.headers["HX-Refresh"], await answer.text()) == (401, "true", "")
    answer = await client.post("/tickets/1001/close", headers=ours(client), allow_redirects=False)
    assert answer.headers["Location"].startswith("/login")


async def test_passwords(client: TestClient[Any, Any], w: World) -> None:
    now = w.clock.now()
    assert await auth.add_user(w.accounts, "ivan", "supervisor", now, "demo", password="длинный-пароль")
    assert not await auth.add_user(w.accounts, "ivan", "admin", now)
    with pytest.raises(ValueError, match="короткий"):
        await auth.set_password(w.accounts, "ivan", "коротко")
    with pytest.raises(ValueError, match="роли"):
        await auth.add_user(w.accounts, "olga", "queen", now)
    with pytest.raises(LookupError):
        await auth.create_link(w.accounts, "nobody", now, "http://localhost")

    async def sign_in(name: str, password: str, onward: str = "") -> web.Response | Any:
        form = {"name": name, "password": password, "next": onward}
        return await client.post("/login", data=form, headers=ours(client), allow_redirects=False)

    assert (await sign_in("ivan", "длинный-пароль")).headers["Location"] == "/tickets"
    assert (await sign_in("ivan", "длинный-пароль", "/tickets/7")).headers["Location"] == "/tickets/7"
    for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example"):
        assert (await sign_in("ivan", "длинный-пароль", elsewhere)).headers["Location"] == "/tickets"
    w.clock.at += timedelta(minutes=2)
    for name, password in (("ivan", "не тот пароль"), ("nobody", "длинный-пароль")):
        assert (await sign_in(name, password)).status == 401


async def test_guessing_is_slowed_down(client: TestClient[Any, Any], w: World) -> None:
    async def tries() -> list[int]:
        answers = [
            await client.post("/login", data={"name": "x", "password": "y"}, headers=ours(client))
            for _ in range(6)
        ]
        return [answer.status for answer in answers]

    assert await tries() == [401] * 5 + [429]
    gate = auth.Gate()
    assert sum(gate.admits(START, f"name{n}", "198.51.100.1") for n in range(30)) == 20
    assert sum(gate.admits(START, "svetlana", f"198.51.100.{n}") for n in range(2, 99)) == 40
    w.clock.at += timedelta(seconds=61)
    assert (await tries())[0] == 401


async def test_a_link_is_spent_by_its_button_only(client: TestClient[Any, Any], w: World) -> None:
    await auth.add_user(w.accounts, "ivan", "admin", w.clock.now())
    link = await auth.create_link(w.accounts, "ivan", w.clock.now(), "")
    for _ in range(3):
        assert (await client.get(link)).status == 200
    both = await asyncio.gather(
        *(client.post(link, headers=ours(client), allow_redirects=False) for _ in range(2))
    )
    assert sorted(answer.status for answer in both) == [303, 410]
    late = await auth.create_link(w.accounts, "ivan", w.clock.now(), "")
    w.clock.at += timedelta(hours=24)
    assert (await client.post(late, headers=ours(client))).status == 410


async def test_sessions_end(client: TestClient[Any, Any], w: World) -> None:
    csrf = await enter(client, w, "ivan", "supervisor", "demo")
    assert (await client.get("/tickets", allow_redirects=False)).status == 200
    await client.post("/logout", data={"csrf": csrf}, headers=ours(client))
    assert (await client.get("/tickets", allow_redirects=False)).status == 303
    await enter(client, w, "olga", "supervisor", "demo")
    await auth.set_password(w.accounts, "olga", "новый-пароль-подлиннее")
    assert (await client.get("/tickets", allow_redirects=False)).status == 303
    await enter(client, w, "pavel", "supervisor", "demo")
    w.clock.at += w.deps.settings.session_lifetime
    assert (await client.get("/tickets", allow_redirects=False)).status == 303


async def test_a_form_from_elsewhere_does_nothing(client: TestClient[Any, Any], w: World) -> None:
    number = await burst(w)
    csrf = await enter(client, w, "ivan", "supervisor", "demo")
    before = len(w.store.timelines[number])
    evil = {"Origin": "http://evil.example"}
    path, good = f"/tickets/{number}/close", {"csrf": csrf}
    for form, headers in ((good, evil), (good, {}), ({}, ours(client)), ({"csrf": "0" * 64}, ours(client))):
        assert (await client.post(path, data=form, headers=headers)).status == 403
    api = f"/api/v1/tickets/{number}/close"
    assert (await client.post(api, json={}, headers=evil)).status == 403
    assert (await client.post(api, json={}, headers=ours(client))).status == 403
    assert len(w.store.timelines[number]) == before
    assert (await client.post(api, json={}, headers=ours(client) | {"X-CSRF-Token": csrf})).status == 200
    reopened = await client.post(
        f"/tickets/{number}/reopen",
        data=good,
        headers={"Sec-Fetch-Site": "same-origin"},
        allow_redirects=False,
    )
    assert reopened.headers["Location"] == f"/tickets/{number}?said=reopened"


async def test_what_buttons_do(client: TestClient[Any, Any], w: World) -> None:
    number = await burst(w)
    csrf = await enter(client, w, "svetlana", "supervisor", "demo")

    async def press(verb: str, **form: str) -> str:
        answer = await client.post(
            f"/tickets/{number}/{verb}",
            data={"csrf": csrf, **form},
            headers=ours(client),
            allow_redirects=False,
        )
        return answer.headers["Location"].partition("said=")[2]

    assert await press("accept", contact="ghost") == "unfit"
    assert await press("note", text="  ") == "unfit"
    assert await press("accept", contact="plumber1") == "accepted"
    assert await press("accept", contact="plumber2") == "taken"
    assert await press("note", text="<script>alert(1)</script>") == "noted"
    assert await press("close", reason="готово") == "closed"
    assert await press("accept", contact="plumber1") == "is_closed"
    text = await (await client.get(f"/tickets/{number}?said=closed")).text()
    assert "Заявка закрыта." in text
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert [what for _, what, _, _ in w.accounts.recorded] == ["sign in", "accept", "note", "close"]


async def test_a_viewer_only_looks(client: TestClient[Any, Any], w: World) -> None:
    number = await burst(w)
    csrf = await enter(client, w, "guest", "viewer", "demo")
    text = await (await client.get(f"/tickets/{number}")).text()
    assert "Прорыв" in text
    assert "/accept" not in text
    assert (
        await client.post(f"/tickets/{number}/close", data={"csrf": csrf}, headers=ours(client))
    ).status == 403


async def test_another_companys_ticket_is_not_there(client: TestClient[Any, Any], w: World) -> None:
    theirs = await burst(w, "other")
    csrf = await enter(client, w, "svetlana", "supervisor", "demo")
    assert f"ticket-{theirs}" not in await (await client.get("/tickets?state=all")).text()
    for path in (f"/tickets/{theirs}", f"/live/tickets/{theirs}", "/tickets?company=other", "/tickets/9999"):
        assert (await client.get(path)).status == 404
    form = {"csrf": csrf}
    assert (await client.post(f"/tickets/{theirs}/close", data=form, headers=ours(client))).status == 404


async def test_every_answer_is_hardened(client: TestClient[Any, Any], w: World) -> None:
    await enter(client, w, "ivan", "admin")
    number = await burst(w)
    for path in ("/login", "/tickets", f"/tickets/{number}", "/nothing", "/healthz", "/static/console.css"):
        answer = await client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if not path.startswith("/static/"):
            assert answer.headers["Cache-Control"] == "no-store"
        text = await answer.text()
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=\"|javascript:", text), path


async def test_the_language_stays_chosen(client: TestClient[Any, Any], w: World) -> None:
    await enter(client, w, "ivan", "admin")
    assert "Заявки" in await (await client.get("/tickets")).text()
    answer = await client.get("/language/en?next=/tickets%3Fstate%3Dall")
    assert answer.url.path_qs == "/tickets?state=all"
    assert "Tickets" in await answer.text()
    assert (await client.get("/language/en?next=//evil.example")).url.host == answer.url.host
    assert "Tickets" in await (await client.get("/language/xx?next=/tickets")).text()


async def test_filters(client: TestClient[Any, Any], w: World) -> None:
    await enter(client, w, "ivan", "admin")
    taken, waiting = await burst(w), await burst(w, "other")
    await verbs.accept(w.deps.flows, taken, "plumber1", Via.SMS, "Пётр")

    async def shown(query: str) -> set[int]:
        text = await (await client.get(f"/tickets?{query}")).text()
        return {int(found) for found in re.findall(r'id="ticket-(\d+)"', text)}

    assert await shown("") == {taken, waiting}
    assert await shown("state=waiting&urgency=&company=") == {waiting}
    assert await shown("state=accepted") == {taken}
    assert await shown("company=demo") == {taken}
    assert await shown("urgency=normal") == set()
    assert (await client.get("/tickets?state=asleep")).status == 422


def test_both_languages_say_the_same_things() -> None:
    def holes(sentence: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}

    russian, english = LANGUAGES["ru"], LANGUAGES["en"]
    assert russian.keys() == english.keys()
    for key, sentence in russian.items():
        assert holes(sentence) == holes(english[key]), key


def test_no_word_is_left_over() -> None:
    sources = [*CONSOLE.rglob("*.py"), *CONSOLE.rglob("*.html")]
    text = "".join(path.read_text() for path in sources if not path.name.startswith("words_"))
    asked = set(re.findall(r"""\bw(?:ords)?\(\s*["']([\w.]+)["']""", text))
    groups = set(re.findall(r"""named\(\s*["'](\w+)["']""", text)) | {"said", "filter.state", "login", "line"}
    known = LANGUAGES["ru"].keys()
    assert asked <= known | {f"{group}." for group in groups}
    assert [
        key for key in known if key not in asked and not any(key.startswith(f"{g}.") for g in groups)
    ] == []


def example(kind: Any, name: str = "") -> Any:
    """Some value of that type."""
    if get_origin(kind) in (Union, UnionType):
        return example(get_args(kind)[0], name)
    if get_origin(kind) is tuple:
        return (example(get_args(kind)[0], name),)
    if kind.__name__ == "Policy":
        return company().policies[0]
    if kind.__name__ == "Callee":
        return company().contacts["plumber1"].callee(Urgency.EMERGENCY)
    if kind.__name__ == "Premises":
        return kind("lenina15", "42", "улица Ленина, дом 15")
    if kind.__name__ == "datetime":
        return START
    if hasattr(kind, "__members__"):
        return next(iter(kind))
    if kind is str:
        return {"contact": "plumber1", "company": "demo"}.get(name, "x")
    return kind(1)


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fact_can_be_told(kind: type[Event], language: str) -> None:
    hints = get_type_hints(kind)
    event = kind(**{field.name: example(hints[field.name], field.name) for field in fields(kind)})
    lines = Teller(Words(language), company(), ZoneInfo("Europe/Moscow")).tell(
        [TicketOpened(at=START, company="demo", channel="phone"), event]
    )
    merged = {"RobocallAnswered", "DialEnded", "TextSent", "TextDelivered", "TextFailed", "TextUndelivered"}
    text = lines[-1].text
    assert text
    if kind.__name__ not in merged:
        assert text != kind.__name__, "nobody has written how this is told"
    assert "{" not in text


def test_small_words() -> None:
    assert [duration(seconds) for seconds in (0, 7.9, 192, 3849)] == ["0:00", "0:07", "3:12", "1:04:09"]
    assert phone("+79160000042") == "+7 916 000-00-42"
    assert re.sub(r"\W", "", masked("+79000000001")) == "790001"
    assert masked("+441632960961") == "+44***61"
    assert masked(None) == phone(None) == ""


def test_vendored_assets_are_small_and_have_their_licences() -> None:
    vendor = CONSOLE / "static" / "vendor"
    assert sum(path.stat().st_size for path in vendor.iterdir()) < 700 * 1024
    listed = (vendor / "README.md").read_text()
    for path in vendor.iterdir():
        assert path.name in listed or path.name == "README.md"
