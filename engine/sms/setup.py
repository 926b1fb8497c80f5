"""Puts the configured text providers together; none of them: texts go to the log."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from engine.ports import Texts
from engine.sms import smpp, yeastar
from engine.sms.gateways import Gateways, Provider
from engine.sms.hooks import Hooks
from engine.sms.http import Account, HttpProvider
from engine.sms.log import LoggedTexts
from engine.sms.template import Template, TemplateError, load

HOOK_PATH = "/api/v1/sms/"
KEY_CHARS = 24


@dataclass(frozen=True, slots=True)
class Configured:
    """One provider, as the configuration has it. `credentials` are what its template needs, and its options."""

    name: str
    template: str
    url: str | None = None
    sender: str = ""
    credentials: dict[str, str] = field(default_factory=dict, repr=False)
    companies: tuple[str, ...] = ()
    allow_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Direct:
    """A kind of provider that no template describes, because it has a connection of its own."""

    title: str
    url: str
    """What its address looks like."""
    needs: Mapping[str, str]
    build: Callable[[Account], Provider]


DIRECT = {
    "smpp": Direct("SMPP", "smpp://host:2775", smpp.NEEDS, smpp.SmppProvider),
    "yeastar": Direct("Yeastar TG", "ami://host:5038", yeastar.NEEDS, yeastar.YeastarProvider),
}


@dataclass(frozen=True, slots=True)
class OpenTexts:
    """The way out, the reader of what comes in by HTTP, and the addresses to give to the providers."""

    texts: Texts
    hooks: Hooks
    addresses: dict[str, str]


@asynccontextmanager
async def open_texts(configured: Sequence[Configured], our_url: str, secret: str) -> AsyncIterator[OpenTexts]:
    """Open them all. `our_url` is where they reach us; `secret` makes the keys in the addresses. Raises `TemplateError`."""
    if not configured:
        yield OpenTexts(LoggedTexts(), Hooks([]), {})
        return
    direct: list[Provider] = [
        DIRECT[one.template].build(_direct(one)) for one in configured if one.template in DIRECT
    ]
    pairs = [_account(one, our_url, secret) for one in configured if one.template not in DIRECT]
    async with aiohttp.ClientSession() as session:
        found: dict[str, Provider] = {one.account.name: one for one in direct}
        for account, template in pairs:
            found[account.name] = HttpProvider(account, template, session)
        in_order = [found[one.name] for one in configured]
        yield OpenTexts(
            Gateways(in_order), Hooks(pairs), {account.name: account.hook_url for account, _ in pairs}
        )


def _direct(one: Configured) -> Account:
    kind = DIRECT[one.template]
    if missing := [f"{name} ({what})" for name, what in kind.needs.items() if not one.credentials.get(name)]:
        raise TemplateError(
            f"sms: provider {one.name} ({kind.title}) lacks {', '.join(missing)}; write them under credentials"
        )
    if not (one.url or "").startswith(kind.url.partition("://")[0] + "://"):
        raise TemplateError(f"sms: provider {one.name} needs a url like {kind.url}")
    return Account(one.name, one.url or "", one.sender, one.credentials, one.companies)


def _account(one: Configured, our_url: str, secret: str) -> tuple[Account, Template]:
    template = load(one.template)
    if missing := template.missing(one.credentials):
        raise TemplateError(
            f"sms: provider {one.name} ({template.title}) lacks {', '.join(missing)}; write them under credentials"
        )
    if unknown := one.credentials.keys() - template.needs.keys() - template.options.keys():
        raise TemplateError(
            f"sms: provider {one.name}: {', '.join(sorted(unknown))} mean nothing to {template.title}"
        )
    url = one.url or template.url
    if url is None:
        raise TemplateError(f"sms: provider {one.name} needs a url")
    key = hmac.new(secret.encode(), f"sms hook {one.name}".encode(), hashlib.sha256).hexdigest()[:KEY_CHARS]
    hook_url = f"{our_url.rstrip('/')}{HOOK_PATH}{one.name}?{urlencode({'key': key})}"
    account = Account(
        one.name, url.rstrip("/"), one.sender, one.credentials, one.companies, hook_url, key, one.allow_from
    )
    return account, template
