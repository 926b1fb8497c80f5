"""Reads what providers tell us over HTTP, as their templates say, and only from those who may."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import parse_qsl

import phonenumbers

from engine.ports import Delivery, HookRead, HookRequest, Incoming, Report
from engine.sms.http import Account
from engine.sms.template import Hook, Messages, Reports, Signature, Template, filled

Fields = Mapping[str, str]


class Hooks:
    """`ports.TextHooks` for the configured providers."""

    def __init__(self, accounts: Sequence[tuple[Account, Template]]) -> None:
        self._accounts = {account.name: (account, template) for account, template in accounts}

    def read(self, provider: str, request: HookRequest) -> HookRead:
        """See `ports.TextHooks.read`."""
        if provider not in self._accounts:
            raise LookupError(f"no text provider is called {provider}")
        account, template = self._accounts[provider]
        fields = _fields(request)
        _may_tell(account, template.hook, request, fields)
        return HookRead(tuple(_heard(account, template.hook, fields)), template.hook.answer)


def e164(number: str) -> str:
    """A number as E.164, as far as it is one; a short code or a name stays as it is."""
    number = number.strip()
    if not re.fullmatch(r"\+?[\d\s()-]{10,}", number):
        return number
    try:
        parsed = phonenumbers.parse(number if number.startswith(("+", "8")) else f"+{number}", "RU")
    except phonenumbers.NumberParseException:
        return number
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _fields(request: HookRequest) -> dict[str, str]:
    """Query, form and JSON as one flat mapping."""
    fields = dict(request.query)
    kind = request.headers.get("Content-Type", "")
    try:
        body = request.body.decode()
        if "json" in kind or body.lstrip().startswith(("{", "[")):
            fields.update(_flat(json.loads(body), ""))
        elif body:
            fields.update(_numbered(parse_qsl(body, keep_blank_values=True)))
    except ValueError as error:
        raise ValueError(f"the body cannot be read: {error}") from error
    return fields


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _flat(item, f"{path}.{key}" if path else str(key))
        case list():
            for place, item in enumerate(value):
                yield from _flat(item, f"{path}.{place}" if path else str(place))
        case None:
            pass
        case bool():
            yield path, str(value).lower()
        case _:
            yield path, str(value)


def _numbered(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """`data[]` twice is two fields."""
    place = 0
    for name, value in pairs:
        if name.endswith("[]"):
            name, place = f"{name[:-2]}[{place}]", place + 1
        yield name, value


def _may_tell(account: Account, hook: Hook, request: HookRequest, fields: Fields) -> None:
    """Raises `PermissionError` unless address, key and signature are right."""
    if account.allow_from:
        try:
            remote = ip_address(request.remote or "")
        except ValueError:
            raise PermissionError(f"{account.name}: the caller's address is not known") from None
        if not any(remote in ip_network(network, strict=False) for network in account.allow_from):
            raise PermissionError(f"{account.name}: {remote} is not on its allow-list")
    if not hmac.compare_digest(fields.get("key", "").encode(), account.hook_key.encode()):
        raise PermissionError(f"{account.name}: the key is wrong")
    if hook.signature is not None:
        _check(hook.signature, account, request, fields)


def _check(signature: Signature, account: Account, request: HookRequest, fields: Fields) -> None:
    """A signature whose secret the configuration does not have is not asked for: key and allow-list stand for it."""
    names = set(re.findall(r"\{(\w+)\}", f"{signature.over}{{{signature.key or ''}}}"))
    secrets = {name for name in names if name and name not in fields and name != "data"}
    if any(not account.words.get(name) for name in secrets):
        return
    words = {**fields, **account.words, "data": "".join(v for _, v in _each(fields, "data"))}
    if signature.kind == "hmac-sha256":
        key = account.words.get(signature.key or "", "")
        right = hmac.new(key.encode(), request.body, hashlib.sha256).hexdigest()
    else:
        right = hashlib.new(signature.kind, str(filled(signature.over, words)).encode()).hexdigest()
    given = request.headers.get(signature.field, "") if signature.header else fields.get(signature.field, "")
    if not hmac.compare_digest(given.lower().removeprefix("sha256=").encode(), right.encode()):
        raise PermissionError(f"{account.name}: the signature is wrong")


def _heard(account: Account, hook: Hook, fields: Fields) -> Iterator[Report | Incoming]:
    found = False
    for reports in _entries(hook.reports, fields):
        if hook.reports and _fits(hook.reports.when, reports):
            found = True
            yield _report(account, hook.reports, reports)
    for message in _entries(hook.messages, fields):
        if hook.messages and _fits(hook.messages.when, message):
            found = True
            yield _message(account, hook.messages, message)
    if not found and not (hook.reports and hook.reports.each):
        raise ValueError(f"{account.name}: neither a report nor a text: {', '.join(sorted(fields))}")


def _entries(read: Reports | Messages | None, fields: Fields) -> Iterator[Fields]:
    """The call itself, or each of its entries with its lines named."""
    if read is None:
        return
    if read.each is None:
        yield fields
        return
    for _, entry in _each(fields, read.each.removesuffix("[]")):
        yield dict(zip(read.lines, entry.split("\n"), strict=False))


def _each(fields: Fields, name: str) -> list[tuple[int, str]]:
    pattern = re.compile(rf"{re.escape(name)}\[(\d+)\]")
    return sorted(
        (int(found[1]), value) for key, value in fields.items() if (found := pattern.fullmatch(key))
    )


def _fits(when: Mapping[str, tuple[str, ...]], fields: Fields) -> bool:
    return all(name in fields and (not good or fields[name] in good) for name, good in when.items())


def _report(account: Account, read: Reports, fields: Fields) -> Report:
    state = fields.get(read.state, "")
    known = (
        Delivery.DELIVERED
        if state in read.delivered
        else Delivery.FAILED
        if state in read.failed
        else Delivery.WAITING
    )
    reason = fields.get(read.reason or "") or state
    return Report(
        account.name,
        known,
        text=fields.get(read.text or "") or None,
        reference=fields.get(read.reference or "") or None,
        reason=f"undelivered ({reason})" if known is Delivery.FAILED else None,
    )


def _message(account: Account, read: Messages, fields: Fields) -> Incoming:
    if read.number not in fields or read.body not in fields:
        raise ValueError(f"{account.name}: a text without {read.number} or {read.body}")
    return Incoming(
        account.name,
        e164(fields[read.number]),
        fields[read.body],
        to=e164(fields.get(read.to or "", "")) or None,
        reference=fields.get(read.reference or "") or None,
        companies=account.companies,
    )
