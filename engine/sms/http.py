"""A provider that is spoken to over HTTP, as its template says."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp

from engine.ports import Handed, Heard, Message
from engine.sms.template import Answer, Send, Template, at, filled

TIMEOUT_SECONDS = 12.0
CONNECT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Account:
    """One provider as it is configured. `words` are its credentials and options; `hook_url` is where it calls us."""

    name: str
    url: str
    sender: str
    words: Mapping[str, str] = field(default_factory=dict, repr=False)
    companies: tuple[str, ...] = ()
    hook_url: str = field(default="", repr=False)
    """With its key."""
    hook_key: str = field(default="", repr=False)
    allow_from: tuple[str, ...] = ()
    """Addresses and networks from which it may call us; empty: any."""


@dataclass(eq=False)
class HttpProvider:
    """Hands messages over. Its session belongs to whoever built it."""

    account: Account
    template: Template
    session: aiohttp.ClientSession

    async def send(self, message: Message) -> Handed:
        """Raises `ConnectionError` (not now, or not by us) and `ValueError` (this message never)."""
        account = self.account
        words = {
            **self.template.options,
            **account.words,
            "url": account.url,
            "sender": account.sender,
            "sender_bare": account.sender.removeprefix("+"),
            "to": message.number.lstrip("+"),
            "to_plus": message.number,
            "text": message.body,
            "id": message.id,
            "hook_url": account.hook_url,
            "report_url": f"{account.hook_url}&{urlencode({'text': message.id})}",
        }
        said = await self._ask(self.template.send, words)
        reference = self.template.send.answer.reference
        found = at(said, reference) if reference else None
        if isinstance(found, list):
            found = found[0] if found else None
        references = (str(found),) if found not in (None, "") else ()
        return Handed(account.name, references, self.template.reports)

    async def probe(self) -> str | None:
        """What is wrong, or None. Sends nothing to anybody."""
        if self.template.probe is None:
            return None
        words = {**self.template.options, **self.account.words, "url": self.account.url}
        try:
            await self._ask(self.template.probe, words)
        except (ConnectionError, ValueError) as error:
            return str(error)
        return None

    async def serve(self, heard: Heard) -> None:
        """What comes in comes over the console's port."""

    async def _ask(self, send: Send, words: Mapping[str, str]) -> Any:
        """The answer's JSON (or text) if it says that all is well; raises what it says otherwise."""
        request, name = send.request, self.account.name
        headers = filled(request.headers, words)
        body: dict[str, Any] = {}
        if request.form is not None:
            body["data"] = filled(request.form, words)
        if request.json is not None:
            body["json"] = filled(request.json, words)
        if request.basic is not None:
            pair = ":".join(filled(request.basic, words)).encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        try:
            async with self.session.request(
                request.method,
                filled(request.url, words),
                params=filled(request.query, words),
                headers=headers,
                timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
                allow_redirects=False,
                **body,
            ) as answer:
                text = await answer.text(errors="replace")
                return _judge(name, send.answer, answer.status, text)
        except TimeoutError as error:
            raise ConnectionError(f"{name} did not answer in {TIMEOUT_SECONDS:.0f} s") from error
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{name} cannot be reached: {type(error).__name__}") from error


def _judge(name: str, answer: Answer, status: int, text: str) -> Any:
    """An answer that says yes; raises `ConnectionError` or `ValueError` for one that does not."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        said = None
    fits = said is not None if answer.taken else True
    if (
        (200 <= status < 300 or status in answer.also)
        and fits
        and all(at(said, path) in good for path, good in answer.taken.items())
    ):
        return said
    reason = next((str(found) for path in answer.reason if (found := at(said, path)) not in (None, "")), None)
    code = at(said, answer.code) if answer.code else None
    told = f"{name}: {reason or text.strip()[:120] or 'no reason given'} ({status if code is None else code})"
    unclear = answer.taken and not isinstance(said, dict)
    if status == 429 or status >= 500 or status in answer.later or code in answer.later or unclear:
        raise ConnectionError(told)
    raise ValueError(told)
