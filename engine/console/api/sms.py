"""What text providers tell us: delivery reports and texts from people. Each provider has an address with a key of its own."""

from __future__ import annotations

from collections import deque
from http import HTTPStatus

import structlog
from aiohttp import web

from engine.console.problems import Problem, not_found
from engine.ports import Heard, HookRequest, TextHooks

log = structlog.get_logger(__name__)

WRONG_CALLS = 30
WRONG_CALLS_SECONDS = 60.0
"""So many calls with a wrong key, from one address, in so long: then the next ones are told to wait. A call with the right key is always
heard: behind a proxy all of them come from one address, and whoever guesses must not be able to silence the gateway."""

HOOKS: web.AppKey[TextHooks] = web.AppKey("text hooks")
HEARD: web.AppKey[Heard] = web.AppKey("text heard")
WRONG: web.AppKey[dict[str, deque[float]]] = web.AppKey("text wrong calls")


def attach(app: web.Application, hooks: TextHooks, heard: Heard) -> None:
    """Take calls from providers in this application."""
    app[HOOKS], app[HEARD], app[WRONG] = hooks, heard, {}
    app.router.add_route("*", "/api/v1/sms/{provider}", told)


async def told(request: web.Request) -> web.Response:
    """Read it, put it on record, answer as that provider wants it. A 5xx makes it tell again."""
    if request.method not in ("GET", "POST"):
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "POST"])
    provider = request.match_info["provider"]
    call = HookRequest(request.method, request.query, request.headers, await request.read(), request.remote)
    try:
        read = request.app[HOOKS].read(provider, call)
    except LookupError:
        _slow_down(request)
        raise not_found("Нет такого поставщика SMS") from None
    except PermissionError as error:
        _slow_down(request)
        _wrong_calls(request).append(request.loop.time())
        log.warning("a text provider's call was refused", provider=provider, reason=str(error))
        raise Problem(HTTPStatus.FORBIDDEN, "Ключ, подпись или адрес не подходят") from None
    except ValueError as error:
        log.warning("a text provider's call makes no sense", provider=provider, reason=str(error))
        raise Problem(HTTPStatus.BAD_REQUEST, "Непонятный запрос поставщика SMS") from None
    for one in read.heard:
        await request.app[HEARD](one)
    return web.Response(text=read.answer)


def _wrong_calls(request: web.Request) -> deque[float]:
    calls = request.app[WRONG]
    if len(calls) > 1000:
        calls.clear()
    return calls.setdefault(request.remote or "", deque(maxlen=WRONG_CALLS))


def _slow_down(request: web.Request) -> None:
    """Refuse even to say what is wrong."""
    wrong = _wrong_calls(request)
    if len(wrong) == WRONG_CALLS and request.loop.time() - wrong[0] < WRONG_CALLS_SECONDS:
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "Слишком много неверных запросов; подождите минуту")
