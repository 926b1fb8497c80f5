"""The command line as a whole: what there is, and that no command loads what it has no use for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer import Context
from typer.main import get_group
from typer.testing import CliRunner

from engine.cli import MODULES, app

GROUP = get_group(app)
COMMANDS = GROUP.list_commands(Context(GROUP))


def test_every_command_says_what_it_is() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for name in COMMANDS:
        command = GROUP.get_command(Context(GROUP), name)
        assert command is not None
        assert command.help
        assert name in shown.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert f"{name} [OPTIONS]" in shown.output


def test_a_typo_is_told() -> None:
    shown = CliRunner().invoke(app, ["chek"])
    assert shown.exit_code == 2
    assert "No such command 'chek'" in shown.output


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("company", {"sqlalchemy", "aiohttp", "panoramisk", "jinja2"}),
        ("accounts", {"panoramisk", "engine.app"}),
        ("beside", {"panoramisk", "engine.app"}),
    ],
)
def test_a_command_loads_what_it_needs(module: str, spared: set[str]) -> None:
    assert module in MODULES
    seen = f"import sys, engine.cli, engine.cli.{module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert not spared & set(loaded.stdout.split())
