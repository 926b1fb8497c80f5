"""What all commands share."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import typer

from engine.config import Settings

WRONG, UNUSABLE = 1, 2
Result = TypeVar("Result")
JSON = typer.Option(False, "--json", help="For a machine to read.")


@dataclass(frozen=True, slots=True)
class State:
    """What the callback leaves for the commands."""

    settings: Settings


def settings_of(context: typer.Context) -> Settings:
    """The settings that the callback read."""
    state = context.obj
    assert isinstance(state, State)
    return state.settings


def complain(text: str) -> None:
    """Say on stderr what is wrong."""
    print(text, file=sys.stderr)  # noqa: T201 - the command line speaks


def emit(value: Any, as_json: bool, text: str) -> None:
    """Print a result: JSON for a machine, else the text."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)


def wait(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end."""
    return asyncio.run(work)
