"""Who is asking, and what they may: bearer tokens for the API, session cookies for pages, scopes and companies for both."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from engine.console import auth
from engine.console.deps import ConsoleDeps
from engine.console.problems import Problem, forbidden, not_found, unauthorised
from engine.domain.errors import NotKnown, StoreFailed, TelephonyAway, TicketIsClosed

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEPS = web.AppKey("deps", ConsoleDeps)
COOKIE = "dozvon_session"

ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "act"}),
    "supervisor": frozenset({"read", "act", "review"}),
    "admin": frozenset({"read", "act", "review", "admin"}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `company` None is everyone's; `csrf` is what this browser's forms must carry (None: no browser)."""

    name: str
    scopes: frozenset[str]
    company: str | None
    csrf: str | None = None

    def sees(self, company: str) -> bool:
        """Whether this company's data exists for them at all."""
        return self.company is None or self.company == company


WHO = web.RequestKey("who", Principal)
NONCE = web.RequestKey("nonce", str)


async def identify(request: web.Request) -> Principal | None:
    """The principal behind a request, by its token or its cookie; None if there is none."""
    deps = request.app[DEPS]
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = await deps.accounts.token(auth.digest(secret.strip()))
        if token is None:
            return None
        return Principal(f"token:{token.name}", frozenset(token.scopes), token.company)
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return None
    user = await deps.accounts.session(auth.digest(cookie), deps.clock.now())
    if user is None:
        return None
    return Principal(user.name, ROLES.get(user.role, frozenset()), user.company, auth.csrf_token(cookie))


async def principal(request: web.Request, scope: str) -> Principal:
    """Who is asking, if they may; else raises the 401 or 403 that says so."""
    who = request.get(WHO) or await identify(request)
    if who is None:
        raise unauthorised()
    request[WHO] = who
    if scope not in who.scopes:
        raise forbidden(scope)
    return who


def same_origin(request: web.Request) -> bool:
    """Whether a browser says that the request comes from our own pages."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.host
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


async def check_form(request: web.Request) -> None:
    """Refuse a POST that did not come from our own form: its origin and, once signed in, its token. Raises `Problem` 403."""
    who = request.get(WHO)
    fits = same_origin(request)
    if fits and who is not None and who.csrf is not None:
        given = request.headers.get("X-CSRF-Token") or str((await request.post()).get("csrf", ""))
        fits = secrets.compare_digest(given.encode(), who.csrf.encode())
    if not fits:
        raise Problem(HTTPStatus.FORBIDDEN, "Форма устарела или открыта с другого сайта: обновите страницу")


async def check_api_write(request: web.Request) -> None:
    """A browser's session may write through the API only as through a form; a token may write as it is."""
    if "Authorization" not in request.headers:
        await check_form(request)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what went wrong in the API into problem details."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except NotKnown as error:
        return not_found(str(error)).response()
    except TicketIsClosed:
        return Problem(
            HTTPStatus.CONFLICT, "Заявка закрыта; сначала откройте её снова", code="closed"
        ).response()
    except (StoreFailed, TelephonyAway) as error:
        log.warning("a part of the system is away", route=route(request), error=str(error))
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return Problem(HTTPStatus(error.status), error.reason).response()
    except Exception:
        log.exception("a request failed", method=request.method, route=route(request))
        return Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "Внутренняя ошибка; подробности в журнале"
        ).response()


@web.middleware
async def headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Prepare the style nonce that a page's policy will name (see `harden`)."""
    request[NONCE] = secrets.token_urlsafe(12)
    return await handler(request)


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer: nothing from elsewhere, no inline scripts, no frames, no sniffing."""
    nonce = request.get(NONCE, "")
    response.headers.setdefault(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; media-src 'self' blob:; "
        f"style-src 'self' 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")


def route(request: web.Request) -> str:
    """The route's pattern, for logs: a path itself may hold a secret."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
