"""Each shipped template against a server that answers as its provider's documentation says, errors included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from engine.ports import Delivery, HookRequest, Incoming, Message, Report
from engine.sms.hooks import Hooks, e164
from engine.sms.http import Account, HttpProvider
from engine.sms.setup import Configured, open_texts
from engine.sms.template import SHIPPED, TemplateError, at, load

MESSAGE = Message("1024-7", "+79000000001", "Авария №1024", "demo")
WORDS = {
    "kannel": {"username": "us", "password": "word"},
    "smsc_ru": {"apikey": "KEY", "callback_secret": "тайна"},
    "sms_ru": {"api_id": "API-ID"},
    "smsaero": {"email": "a@b.ru", "api_key": "KEY"},
    "exolve": {"api_key": "KEY"},
}


def account(template: str, url: str = "http://127.0.0.1:1") -> Account:
    hook = f"http://127.0.0.1:9/api/v1/sms/{template}?key=k"
    return Account(template, url, "+79990000000", WORDS[template], ("demo",), hook, "k")


@dataclass
class Server:
    """Answers what it is told to; remembers what it was asked."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        posted = await request.read()
        asked: dict[str, Any] = {
            "path": request.path,
            **request.query,
            "auth": request.headers.get("Authorization"),
        }
        if request.content_type == "application/json":
            asked |= json.loads(posted)
        elif posted:
            asked |= await request.post()
        self.asked.append(asked)
        status, body = self.answers.pop(0)
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)


@asynccontextmanager
async def provider(template: str, *answers: tuple[int, Any]) -> AsyncIterator[tuple[HttpProvider, Server]]:
    server = Server(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as session:
            yield HttpProvider(account(template, url), load(template), session), server
    finally:
        await runner.cleanup()


SMSRU_OK = {
    "status": "OK",
    "status_code": 100,
    "sms": {"79000000001": {"status": "OK", "status_code": 100, "sms_id": "000000-10000000"}},
    "balance": 4122.56,
}


def smsru_bad(code: int) -> dict[str, Any]:
    one = {"status": "ERROR", "status_code": code, "status_text": "Не так"}
    return {"status": "OK", "status_code": 100, "sms": {"79000000001": one}}


TAKEN = [
    ("kannel", (202, "0: Accepted for delivery"), ()),
    ("kannel", (202, "3: Queued for later delivery"), ()),
    ("smsc_ru", (200, {"id": 17, "cnt": 1}), ("17",)),
    ("sms_ru", (200, SMSRU_OK), ("000000-10000000",)),
    ("smsaero", (200, {"success": True, "data": {"id": 12345, "status": 8}, "message": None}), ("12345",)),
    ("exolve", (200, {"message_id": "439166538239448536"}), ("439166538239448536",)),
]


@pytest.mark.parametrize(("template", "answer", "references"), TAKEN)
async def test_taken(template: str, answer: tuple[int, Any], references: tuple[str, ...]) -> None:
    async with provider(template, answer) as (one, server):
        handed = await one.send(MESSAGE)
        assert (handed.provider, handed.references, handed.reports) == (template, references, True)
        asked = server.asked[0]
        assert MESSAGE.body in asked.values()
        assert {"+79000000001", "79000000001"} & {str(value) for value in asked.values()}


async def test_what_each_is_asked() -> None:
    async with provider("kannel", (202, "0: Accepted")) as (one, server):
        await one.send(MESSAGE)
        asked = server.asked[0]
        assert (asked["path"], asked["coding"], asked["charset"], asked["username"]) == (
            "/cgi-bin/sendsms",
            "2",
            "UTF-8",
            "us",
        )
        assert asked["dlr-url"].endswith("key=k&text=1024-7&status=%d&reply=%A")
        assert "smsc" not in asked  # an option that is not set is not sent
    async with provider("smsaero", TAKEN[4][1]) as (one, server):
        await one.send(MESSAGE)
        assert server.asked[0]["auth"].startswith("Basic ")
        assert server.asked[0]["callbackUrl"].endswith("text=1024-7")
    async with provider("exolve", TAKEN[5][1]) as (one, server):
        await one.send(MESSAGE)
        assert server.asked[0]["auth"] == "Bearer KEY"
        assert (server.asked[0]["number"], server.asked[0]["destination"]) == ("79990000000", "79000000001")


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        ("kannel", (503, "Temporal failure, try again later.")),
        ("kannel", (403, "Authorization failed for sendsms")),
        ("smsc_ru", (200, {"error": "not enough money", "error_code": 3})),
        ("smsc_ru", (200, {"error": "too many concurrent requests", "error_code": 9})),
        ("smsc_ru", (200, "<html>502</html>")),
        ("sms_ru", (200, smsru_bad(201))),
        ("sms_ru", (200, smsru_bad(220))),
        ("sms_ru", (500, "oops")),
        ("smsaero", (402, {"success": False, "data": None, "message": "Insufficient funds"})),
        (
            "smsaero",
            (
                401,
                {
                    "success": False,
                    "data": None,
                    "message": "Your request was made with invalid credentials.",
                },
            ),
        ),
        ("exolve", (401, {"error": {"code": 16, "message": "unauthenticated"}})),
        ("exolve", (429, {"error": {"message": "rate limit"}})),
    ],
)
async def test_later_or_by_another(template: str, answer: tuple[int, Any]) -> None:
    async with provider(template, answer) as (one, _):
        with pytest.raises(ConnectionError, match=template):
            await one.send(MESSAGE)


@pytest.mark.parametrize(
    ("template", "answer", "reason"),
    [
        ("kannel", (400, "Invalid destination"), "Invalid destination"),
        ("smsc_ru", (200, {"error": "invalid number", "error_code": 7}), "invalid number"),
        ("smsc_ru", (200, {"error": "message is denied", "error_code": 6}), "message is denied"),
        ("sms_ru", (200, smsru_bad(202)), "Не так"),
        ("sms_ru", (200, smsru_bad(207)), "Не так"),
        (
            "smsaero",
            (400, {"success": False, "data": {"number": ["bad"]}, "message": "Validation error."}),
            "Validation",
        ),
        (
            "exolve",
            (400, {"error": {"code": 3, "details": "destination is not valid"}}),
            "destination is not valid",
        ),
    ],
)
async def test_never(template: str, answer: tuple[int, Any], reason: str) -> None:
    async with provider(template, answer) as (one, _):
        with pytest.raises(ValueError, match=reason):
            await one.send(MESSAGE)


async def test_nobody_there() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConnectionError):
            await HttpProvider(account("kannel"), load("kannel"), session).send(MESSAGE)


@pytest.mark.parametrize(
    ("template", "good", "bad"),
    [
        ("smsc_ru", {"balance": "100.0"}, None),
        (
            "sms_ru",
            {"status": "OK", "status_code": 100},
            {"status": "ERROR", "status_code": 301, "status_text": "Неверный пароль"},
        ),
        ("smsaero", {"success": True}, {"success": False, "message": "invalid credentials"}),
        ("exolve", {"balance": 3520.38, "credit_limit": 0}, None),
    ],
)
async def test_probes(template: str, good: Any, bad: Any) -> None:
    async with provider(template, (200, good), (200, bad), (503, "down")) as (one, _):
        assert await one.probe() is None
        wrong = await one.probe()
        assert bad is None or wrong is not None
        assert await one.probe() is not None


# --- what they tell us -------------------------------------------------------------------------------------------------------------


def told(
    template: str,
    query: dict[str, str] | None = None,
    *,
    form: list[tuple[str, str]] | None = None,
    data: Any = None,
    key: str = "k",
    remote: str = "127.0.0.1",
    **words: str,
) -> tuple[Report | Incoming, ...]:
    """What is read of a call of that provider."""
    body, kind = b"", ""
    if form is not None:
        body, kind = urlencode(form).encode(), "application/x-www-form-urlencoded"
    if data is not None:
        body, kind = json.dumps(data).encode(), "application/json"
    one = account(template)
    hooks = Hooks([(replace(one, words={**one.words, **words}, allow_from=("127.0.0.0/8",)), load(template))])
    request = HookRequest("POST", {"key": key, **(query or {})}, {"Content-Type": kind}, body, remote)
    return hooks.read(template, request).heard


@pytest.mark.parametrize(
    ("code", "state"),
    [("1", "delivered"), ("2", "failed"), ("16", "failed"), ("8", "waiting"), ("4", "waiting")],
)
def test_kannel_reports(code: str, state: str) -> None:
    (report,) = told("kannel", {"text": "1024-7", "status": code, "reply": "x"})
    assert isinstance(report, Report)
    assert (report.text, report.state) == ("1024-7", Delivery(state))


def test_kannel_messages() -> None:
    (message,) = told("kannel", {"from": "+79000000001", "to": "7999", "body": "Да", "id": "u-1"})
    assert message == Incoming("kannel", "+79000000001", "Да", "7999", "u-1", ("demo",))


def smsc_signed(status: str, secret: str = "тайна") -> list[tuple[str, str]]:
    digest = hashlib.sha1(f"17:79000000001:{status}:{secret}".encode()).hexdigest()
    return [("id", "17"), ("phone", "79000000001"), ("status", status), ("err", "6"), ("sha1", digest)]


@pytest.mark.parametrize(
    ("code", "state"), [("1", "delivered"), ("20", "failed"), ("0", "waiting"), ("-1", "waiting")]
)
def test_smsc_reports(code: str, state: str) -> None:
    (report,) = told("smsc_ru", form=smsc_signed(code))
    assert isinstance(report, Report)
    assert (report.reference, report.state) == ("17", Delivery(state))


def test_smsc_messages() -> None:
    (message,) = told(
        "smsc_ru", form=[("id", "5"), ("phone", "79000000001"), ("mes", "принял"), ("to", "79990000000")]
    )
    assert message == Incoming("smsc_ru", "+79000000001", "принял", "+79990000000", "5", ("demo",))


def smsru_signed(*entries: str, api_id: str = "API-ID") -> list[tuple[str, str]]:
    digest = hashlib.sha256((api_id + "".join(entries)).encode()).hexdigest()
    return [*((f"data[{place}]", entry) for place, entry in enumerate(entries)), ("hash", digest)]


def test_smsru_reports() -> None:
    entries = (
        "sms_status\n000-1\n103\n1782469893",
        "callcheck_status\n1\n2\n3",
        "sms_status\n000-2\n104\n1782469894",
    )
    heard = told("sms_ru", form=smsru_signed(*entries))
    assert [(r.reference, r.state) for r in heard if isinstance(r, Report)] == [
        ("000-1", Delivery.DELIVERED),
        ("000-2", Delivery.FAILED),
    ]


def test_smsaero_reports() -> None:
    (report,) = told(
        "smsaero", {"text": "1024-7"}, data={"id": 12345, "status": 1, "extendStatus": "delivery"}
    )
    assert report == Report("smsaero", Delivery.DELIVERED, "1024-7", "12345")


def test_exolve_tells_both() -> None:
    out = {
        "direction": "DIRECTION_OUTGOING",
        "message_id": "9",
        "delivery_status": "DELIVERY_STATUS_DELIVERED",
    }
    assert told("exolve", data=out) == (Report("exolve", Delivery.DELIVERED, None, "9"),)
    into = {
        "direction": "DIRECTION_INCOMING",
        "message_id": "8",
        "sender": "79000000001",
        "receiver": "79990000000",
        "text": "1",
    }
    assert told("exolve", data=into) == (
        Incoming("exolve", "+79000000001", "1", "+79990000000", "8", ("demo",)),
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: told("kannel", {"text": "1", "status": "1"}, key="wrong"),
        lambda: told("kannel", {"text": "1", "status": "1"}, key=""),
        lambda: told("kannel", {"text": "1", "status": "1"}, remote="10.0.0.1"),
        lambda: told("kannel", {"text": "1", "status": "1"}, remote="nonsense"),
        lambda: told("smsc_ru", form=smsc_signed("1", secret="не та")),
        lambda: told("sms_ru", form=smsru_signed("sms_status\n1\n103\n1", api_id="another")),
    ],
)
def test_who_may_not_tell(call: Callable[[], object]) -> None:
    with pytest.raises(PermissionError):
        call()


def test_nonsense() -> None:
    with pytest.raises(ValueError, match="neither"):
        told("kannel", {"what": "ever"})
    with pytest.raises(ValueError, match="cannot be read"):
        Hooks([(account("exolve"), load("exolve"))]).read(
            "exolve", HookRequest("POST", {"key": "k"}, {"Content-Type": "application/json"}, b"{", None)
        )
    with pytest.raises(LookupError):
        Hooks([]).read("nobody", HookRequest("GET", {}, {}, b"", None))


# --- templates ---------------------------------------------------------------------------------------------------------------------


def test_every_shipped_template_can_be_used() -> None:
    assert {file.stem for file in SHIPPED.glob("*.yaml")} == WORDS.keys()
    for name, words in WORDS.items():
        assert load(name).missing(words) == []
        assert len(load(name).missing({})) == len(load(name).needs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: X\n", "missing required field `send`"),
        ("title: X\nsend: {request: {url: 'a', methd: GET}}\n", "unknown field `methd`"),
        ("title: X\nsend: {request: {url: '{token}'}}\n", r"\{token\} is neither"),
        ("title: [\n", "line 2"),
    ],
)
def test_a_template_with_a_mistake_says_where(text: str, says: str, tmp_path: Any) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(TemplateError, match=says):
        load(str(path))
    with pytest.raises(TemplateError, match="there are exolve"):
        load("own")


def test_paths() -> None:
    assert at({"sms": {"7": {"id": 1}}}, "sms.*.id") == 1
    assert at({"a": [{"b": 2}]}, "a.*.b") == 2
    assert at({"a": []}, "a.*.b") is None
    assert at(None, "a") is None


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("79000000001", "+79000000001"),
        ("89000000001", "+79000000001"),
        ("+7 900 000-00-01", "+79000000001"),
        ("900", "900"),
        ("MTS", "MTS"),
    ],
)
def test_e164(given: str, read: str) -> None:
    assert e164(given) == read


# --- the configuration -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Configured("a", "kannel", credentials={"username": "u"}), r"a \(Kannel\) lacks password \(пароль"),
        (
            Configured("a", "kannel", credentials={"username": "u", "password": "p", "smcs": "x"}),
            "smcs mean nothing",
        ),
        (Configured("a", "nobody"), "no template nobody; there are exolve, kannel, sms_ru, smsaero, smsc_ru"),
        (Configured("a", "smpp", "smpp://h:1", credentials={"system_id": "x"}), r"a \(SMPP\) lacks password"),
        (
            Configured("a", "smpp", "http://h", credentials={"system_id": "x", "password": "p"}),
            "a url like smpp://host:2775",
        ),
        (
            Configured("a", "yeastar", credentials={"username": "x", "secret": "p"}),
            "a url like ami://host:5038",
        ),
    ],
)
async def test_a_provider_that_is_set_up_wrongly_says_how_to_mend_it(given: Configured, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        async with open_texts([given], "http://127.0.0.1:1", "secret"):
            pass


async def test_none_is_the_log_and_secrets_are_not_shown() -> None:
    async with open_texts([], "http://127.0.0.1:1", "secret") as opened:
        assert await opened.texts.probe() == {}
        assert (await opened.texts.send(MESSAGE)).provider == "log"
    one = Configured("a", "sms_ru", credentials={"api_id": "API-ID"})
    async with open_texts([one], "https://us.example.ru/", "secret") as opened:
        assert opened.addresses["a"].startswith("https://us.example.ru/api/v1/sms/a?key=")
        assert "API-ID" not in repr(one)
        assert "key=" not in repr(account("kannel"))
