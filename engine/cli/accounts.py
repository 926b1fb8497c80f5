"""`dozvon user …` and `dozvon token …`: beside a running engine or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import typer

from engine.cli.common import JSON, UNUSABLE, complain, emit, settings_of, wait
from engine.config import Settings
from engine.console import auth
from engine.store.accounts import Accounts
from engine.store.store import Store

users = typer.Typer(help="Who signs in to the console.", no_args_is_help=True)
tokens = typer.Typer(help="Who uses the API.", no_args_is_help=True)
app = typer.Typer()
app.add_typer(users, name="user")
app.add_typer(tokens, name="token")


@asynccontextmanager
async def _accounts(settings: Settings) -> AsyncIterator[Accounts]:
    settings.inside().mkdir(parents=True, exist_ok=True)
    async with Store.open(settings.database, guest=True) as store:
        yield store.accounts


def _refuse(error: Exception) -> typer.Exit:
    complain(str(error))
    return typer.Exit(UNUSABLE)


@users.command("add")
def add_user(
    context: typer.Context,
    name: str,
    role: str = typer.Option("operator", help="admin, supervisor or operator."),
    company: str | None = typer.Option(None, help="Only this company's tickets; none: all companies."),
    as_json: bool = JSON,
) -> None:
    """Add a user and print a one-time link to sign in with; a password can be set with `dozvon user passwd`."""
    settings = settings_of(context)

    async def add() -> str:
        async with _accounts(settings) as accounts:
            now = datetime.now(UTC)
            if not await auth.add_user(accounts, name, role, now, company):
                raise ValueError(f"Пользователь «{name}» уже есть")
            return await auth.create_link(accounts, name, now, settings.console_url)

    try:
        link = wait(add())
    except ValueError as error:
        raise _refuse(error) from error
    emit({"name": name, "link": link}, as_json, link)


@users.command("link")
def link_user(context: typer.Context, name: str, as_json: bool = JSON) -> None:
    """Print a new one-time link for a user."""
    settings = settings_of(context)

    async def make() -> str:
        async with _accounts(settings) as accounts:
            return await auth.create_link(accounts, name, datetime.now(UTC), settings.console_url)

    link = wait(make())
    emit({"name": name, "link": link}, as_json, link)


@users.command("passwd")
def set_password(context: typer.Context, name: str) -> None:
    """Set a user's password; asked for twice, never an argument. Ends the user's sessions."""
    settings = settings_of(context)
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def change() -> None:
        async with _accounts(settings) as accounts:
            await auth.set_password(accounts, name, password)

    try:
        wait(change())
    except ValueError as error:
        raise _refuse(error) from error


@users.command("list")
def list_users(context: typer.Context, as_json: bool = JSON) -> None:
    """Everybody who may sign in."""
    settings = settings_of(context)

    async def read() -> list[dict[str, object]]:
        async with _accounts(settings) as accounts:
            return [
                {"name": user.name, "role": user.role, "company": user.company}
                for user in await accounts.users()
            ]

    found = wait(read())
    emit(found, as_json, "\n".join(f"{u['name']:<20} {u['role']:<12} {u['company'] or '*'}" for u in found))


@tokens.command("add")
def add_token(
    context: typer.Context,
    name: str,
    scope: list[str] = typer.Option(["read", "act"], "--scope", help="read, act, admin; may be given again."),
    company: str | None = typer.Option(None, help="Only this company's tickets; none: all companies."),
    as_json: bool = JSON,
) -> None:
    """Make an API token and print it, this once."""
    settings = settings_of(context)

    async def add() -> str:
        async with _accounts(settings) as accounts:
            return await auth.add_token(accounts, name, datetime.now(UTC), scope, company)

    try:
        secret = wait(add())
    except ValueError as error:
        raise _refuse(error) from error
    emit({"name": name, "token": secret}, as_json, secret)


@tokens.command("revoke")
def revoke_token(context: typer.Context, name: str) -> None:
    """Make a token useless at once."""
    settings = settings_of(context)

    async def revoke() -> bool:
        async with _accounts(settings) as accounts:
            return await accounts.revoke_token(name, datetime.now(UTC))

    if not wait(revoke()):
        complain(f"Нет токена «{name}»; список: dozvon token list")
        raise typer.Exit(UNUSABLE)


@tokens.command("list")
def list_tokens(context: typer.Context, as_json: bool = JSON) -> None:
    """Every token, without its secret."""
    settings = settings_of(context)

    async def read() -> list[dict[str, object]]:
        async with _accounts(settings) as accounts:
            return [
                {
                    "name": token.name,
                    "scopes": list(token.scopes),
                    "company": token.company,
                    "revoked": token.revoked_at is not None,
                }
                for token in await accounts.tokens()
            ]

    found = wait(read())
    lines = [f"{t['name']:<20} {','.join(t['scopes'])}{'  revoked' if t['revoked'] else ''}" for t in found]  # type: ignore[arg-type]
    emit(found, as_json, "\n".join(lines))
