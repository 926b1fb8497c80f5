"""Signing in and out: by name and password, or by a one-time link."""

from __future__ import annotations

from aiohttp import web

from engine.console import auth
from engine.console.guard import COOKIE, DEPS, check_form
from engine.console.pages.frame import local, looking, page, render, secure


@page
async def form(request: web.Request) -> web.StreamResponse:
    """The sign-in form."""
    return render(request, "login.html", next=request.query.get("next", ""))


@page
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check name and password."""
    await check_form(request)
    deps, given = request.app[DEPS], await request.post()
    name, password = str(given.get("name", "")).strip(), str(given.get("password", ""))
    gate = request.app[GATE]
    if not gate.admits(deps.clock.now(), name, request.remote or ""):
        return render(request, "login.html", 429, next=given.get("next", ""), wrong="login.slow")
    user = await gate.sign_in(deps.accounts, name, password)
    if user is None:
        return render(request, "login.html", 401, next=given.get("next", ""), wrong="login.wrong")
    raise await _enter(request, user.name, local(str(given.get("next", "")) or None))


@page
async def link(request: web.Request) -> web.StreamResponse:
    """A one-time link's page. Looking at it burns nothing: previewers look too."""
    return render(request, "link.html")


@page
async def use_link(request: web.Request) -> web.StreamResponse:
    """Use the link up and sign in."""
    await check_form(request)
    deps = request.app[DEPS]
    user = await deps.accounts.use_login_link(auth.digest(request.match_info["secret"]), deps.clock.now())
    if user is None:
        return render(request, "link.html", 410, wrong="login.link.spent")
    raise await _enter(request, user.name, "/tickets")


@page
async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session."""
    await looking(request)
    await check_form(request)
    await request.app[DEPS].accounts.end_session(auth.digest(request.cookies[COOKIE]))
    response = web.HTTPSeeOther("/login")
    response.del_cookie(COOKIE)
    raise response


async def _enter(request: web.Request, user: str, onward: str) -> web.HTTPSeeOther:
    deps = request.app[DEPS]
    lifetime = deps.settings.session_lifetime
    cookie = await auth.start_session(deps.accounts, user, deps.clock.now(), lifetime)
    await deps.audit(deps.clock.now(), user, "sign in")
    response = web.HTTPSeeOther(onward)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(lifetime.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=secure(request),
    )
    return response


GATE = web.AppKey("gate", auth.Gate)
ROUTES = [
    web.get("/login", form),
    web.post("/login", sign_in),
    web.get("/login/link/{secret}", link),
    web.post("/login/link/{secret}", use_link),
    web.post("/logout", sign_out),
]
