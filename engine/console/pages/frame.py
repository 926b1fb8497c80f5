"""What every page shares: its language, its template, who is looking, and an error that reads like a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp_jinja2
import structlog
from aiohttp import web

from engine.console.guard import DEPS, NONCE, WHO, Principal, identify, route
from engine.console.problems import Problem, not_found
from engine.console.words import LANGUAGES, NAMES, Words
from engine.domain.errors import NotKnown, StoreFailed

log = structlog.get_logger(__name__)
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]
LANGUAGE_COOKIE = "dozvon_language"
YEAR_SECONDS = 365 * 24 * 3600


def words_of(request: web.Request) -> Words:
    """The language that this browser has chosen; Russian until it does."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "ru")
    return Words(chosen if chosen in LANGUAGES else "ru")


def render(request: web.Request, template: str, status: int = 200, **context: Any) -> web.Response:
    """A page."""
    return aiohttp_jinja2.render_template(template, request, {**_frame(request), **context}, status=status)


def fragment(request: web.Request, template: str, context: Mapping[str, Any]) -> str:
    """A part of a page, as text."""
    return aiohttp_jinja2.render_string(template, request, {**_frame(request), **context})


def _frame(request: web.Request) -> dict[str, Any]:
    other = "en" if words_of(request).language == "ru" else "ru"
    return {
        "w": words_of(request),
        "who": request.get(WHO),
        "nonce": request.get(NONCE, ""),
        "here": request.path_qs,
        "other_language": (other, NAMES[other]),
    }


def page(handler: Page) -> Page:
    """Show what goes wrong as a page; whoever is not signed in goes to the sign-in and comes back."""

    async def shown(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            if problem.status is HTTPStatus.UNAUTHORIZED:
                if request.path.startswith("/live/"):
                    return web.Response(
                        status=401, headers={"HX-Refresh": "true"}
                    )  # the page itself then leads on
                raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}") from None
            return error_page(request, problem)
        except NotKnown as error:
            return error_page(request, not_found(str(error)))
        except StoreFailed as error:
            return error_page(request, Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))
        except web.HTTPException:
            raise
        except Exception:
            log.exception("a page failed", method=request.method, route=route(request))
            return error_page(request, Problem(HTTPStatus.INTERNAL_SERVER_ERROR, ""))

    return shown


def error_page(request: web.Request, problem: Problem) -> web.Response:
    """A problem, for people."""
    words = words_of(request)
    title = words.named("error", problem.status.value)
    if title == str(problem.status.value):
        title = problem.status.phrase
    return render(request, "error.html", problem.status.value, title=title, detail=problem.detail)


async def looking(request: web.Request) -> Principal:
    """Who is signed in. Raises `Problem` 401."""
    who = await identify(request)
    if who is None or who.csrf is None:
        raise Problem(HTTPStatus.UNAUTHORIZED, "")
    request[WHO] = who
    return who


def local(path: str | None) -> str:
    """A path of ours to go on to; anything else leads home."""
    ours = path is not None and path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if ours and path is not None else "/tickets"


async def language(request: web.Request) -> web.StreamResponse:
    """Change the language and go back."""
    response = web.HTTPSeeOther(local(request.query.get("next")))
    chosen = request.match_info["language"]
    if chosen in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE,
            chosen,
            max_age=YEAR_SECONDS,
            samesite="Lax",
            httponly=True,
            secure=secure(request),
        )
    raise response


def secure(request: web.Request) -> bool:
    """Whether cookies may travel over https only."""
    return request.app[DEPS].settings.base_url.startswith("https:")


ROUTES = [web.get("/language/{language}", language)]
