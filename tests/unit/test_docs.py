"""What the documentation names exists: files, make targets, commands and settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer import Context
from typer.main import get_group

from engine.cli import app
from engine.config import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "recordings/README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    text = page.read_text()
    commands = set(re.findall(r"`(?:\.venv/bin/)?dozvon ([a-z-]+)", text))
    makes = set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE))
    known = set(get_group(app).list_commands(Context(get_group(app))))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert commands <= known
    assert makes <= targets


def test_the_settings_of_the_manual_are_read(tmp_path: Path) -> None:
    manual = (ROOT / "docs/operations.md").read_text()
    file = tmp_path / "dozvon.yaml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)[0])
    settings = load(file, {})
    assert settings.asterisk.trunks[0].register_us
    assert settings.calls.message_for.total_seconds() == 120
