"""A real gateway (Kannel with its fake SMSC, as processes) and a real installation: texts out, reports back, answers in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e import kannel
from tests.e2e.harness import Installation, People
from tests.e2e.kannel import Kannel

pytestmark = pytest.mark.skipif(
    bool(kannel.MISSING), reason=f"no {', '.join(kannel.MISSING)}: apt install kannel kannel-extras"
)

PLUMBER, SECOND = "+79000000001", "+79000000002"
WAIT_SECONDS = 20.0
POLL_SECONDS = 0.05
BURST = {
    "company": "demo",
    "house": "lenina15",
    "premises": "42",
    "cause": "water.riser",
    "urgency": "emergency",
    "text": "Прорыв стояка холодной воды",
}


async def until(found: Callable[[], Any | Awaitable[Any]], what: str, timeout: float = WAIT_SECONDS) -> Any:
    """Wait for something that nobody tells us of."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                result = found()
                if isinstance(result, Awaitable):
                    result = await result
                if result:
                    return result
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"not in {timeout} s: {what}") from None


def settings(folder: Path, gateway: Kannel, **more: Any) -> Path:
    """A configuration with that gateway."""
    provider = {
        "name": "kannel",
        "template": "kannel",
        "url": gateway.url,
        "sender": "7999",
        "credentials": {"username": "dozvon", "password": "secret", "smsc": "fake1"},
        "allow_from": ["127.0.0.1"],
    }
    file = folder / "dozvon.yaml"
    file.write_text(json.dumps({"sms": {"providers": [provider], **more}}))  # JSON is YAML
    return file


def hook_of(installation: Installation, provider: str = "kannel") -> str:
    """The address that the engine has left for the provider."""
    lines = (installation.data_dir / "sms-addresses").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines)[provider]


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(installation: Installation, people: People, tmp_path: Path) -> AsyncIterator[Kannel]:
    """Kannel up, and the engine restarted with it."""
    one = Kannel(tmp_path)
    installation.environment["DOZVON_CONFIG"] = str(settings(tmp_path, one, links=True))
    await installation.restart()
    one.hook = hook_of(installation)
    try:
        await one.start()
        yield one
    finally:
        await one.stop()


async def test_out_in_parts_reported_and_answered_by_its_link(
    installation: Installation, people: People, gateway: Kannel
) -> None:
    """Cyrillic in two parts arrives whole and is reported; the link in it opens a page that accepts, and the ringing stops."""
    people.plumber.rings_out()
    number = (await installation.post("/api/v1/tickets", BURST))["number"]
    await people.plumber.rang()
    queued = await installation.wait_event(number, "TextQueued", contact="plumber1")
    sent = await installation.wait_event(number, "TextSent", text=queued["text"])
    await installation.wait_event(number, "TextDelivered", text=queued["text"])
    assert (sent["provider"], sent["parts"]) == ("kannel", 2)
    assert (PLUMBER, queued["body"]) in gateway.arrived()
    assert len(gateway.parts()) == 2
    assert queued["body"].startswith(f"Авария №{number}: Прорыв стояка")

    link = queued["body"].split()[-1]
    assert link.startswith(f"{installation.console}/a/{number}-")
    async with aiohttp.ClientSession(headers={"Origin": installation.console}) as phone:
        async with phone.get(link) as page:
            assert "Принять" in await page.text()
        async with phone.post(link, data={"answer": "accept"}) as page:
            assert "Заявка за вами" in await page.text()
    accepted = await installation.wait_event(number, "Accepted")
    assert (accepted["contact"], accepted["via"]) == ("plumber1", "link")
    ended = await installation.wait_event(number, "DialEnded")
    assert ended["outcome"] == "cancelled"

    texts = (await installation.get(f"/api/v1/texts?ticket={number}"))["texts"]
    assert {text["status"] for text in texts} == {"delivered"}
    ready = (await installation.get("/readyz"))["components"]["sms"]
    assert (ready["ready"], ready["state"]) == (True, "up")


async def test_an_answer_by_text_silences_the_ringing_phone(
    installation: Installation, people: People, gateway: Kannel
) -> None:
    """«Да» while the robocall rings: accepted by SMS, the ringing stops («answered elsewhere»), the answer is confirmed."""
    people.plumber.rings_out()
    number = (await installation.post("/api/v1/tickets", BURST))["number"]
    await installation.wait_event(number, "DialStarted", contact="plumber1")
    call = await people.plumber.rang()
    await until(lambda: gateway.arrived(), "the text to the plumber")
    await gateway.writes(PLUMBER, "Да")
    accepted = await installation.wait_event(number, "Accepted")
    assert (accepted["contact"], accepted["via"]) == ("plumber1", "sms")
    ended = await installation.wait_event(number, "DialEnded")
    assert ended["outcome"] == "cancelled"
    await call.ended(5)
    received = await installation.wait_event(number, "TextReceived")
    assert (received["body"], received["meaning"], received["contact"]) == ("Да", "accept", "plumber1")
    confirmed = await installation.wait_event(number, "TextQueued", template="answer")
    await installation.wait_event(number, "TextDelivered", text=confirmed["text"])
    assert len([event for event in await installation.events(number) if event["type"] == "DialStarted"]) == 1

    address, _, _ = gateway.hook.partition("?")  # who guesses keys is refused, and then told to wait
    async with aiohttp.ClientSession() as stranger:
        seen = []
        for _ in range(32):
            async with stranger.get(f"{address}?key=guess&from=%2B79000000001&body=1") as answer:
                seen.append(answer.status)
        async with stranger.get(f"{installation.console}/api/v1/sms/nobody?key=x") as answer:
            seen.append(answer.status)
        async with stranger.get(f"{gateway.hook}&from=BANK&body=1") as answer:
            seen.append(answer.status)
    assert seen == [403] * 30 + [429] * 3 + [200]  # whoever has the key is heard all the same


async def test_reports_and_a_remark_by_text(
    installation: Installation, people: People, gateway: Kannel
) -> None:
    people.plumber.rings_out()
    number = (await installation.post("/api/v1/tickets", BURST))["number"]
    await installation.wait_event(number, "DialStarted", contact="plumber1")
    await people.plumber.rang()
    await gateway.writes(PLUMBER, "принял, еду")
    await installation.wait_event(number, "Reported", what="on_the_way", contact="plumber1", via="sms")
    await gateway.writes(PLUMBER, "прибыл")
    await installation.wait_event(number, "Reported", what="arrived")
    await gateway.writes(PLUMBER, "нужен насос и ключ от подвала")
    await installation.wait_event(
        number, "TextReceived", meaning="note", body="нужен насос и ключ от подвала"
    )
    await gateway.writes(PLUMBER, f"{number} готово")
    await installation.wait_event(number, "Reported", what="done")
    await installation.wait_event(number, "TextReceived", body=f"{number} готово")
    received = [event for event in await installation.events(number) if event["type"] == "TextReceived"]
    assert len(received) == 4
