"""Four floors, imports point down: who may know whom, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine"

DOMAIN = {"domain"}
PORTS = {"ports"}
FLOWS = {"flows"}
TOOLS = {"share", "workers", "__version__"}
"""Know nothing of the house: where packaged files lie, worker processes."""
ADAPTERS = {"asterisk", "store", "recordings", "speech", "sms", "hooks", "files"}
CONSOLE = {"console"}
EDGE = {
    "front",
    "jobs",
    "health",
    "__main__",
    "cli",
    "app",
    "service",
    "up",
    "sentry",
    "spare",
    "upkeep",
    "config",
    "logs",
    "secrets",
    "demo",
}

MAY_KNOW = {
    **dict.fromkeys(DOMAIN, DOMAIN),
    **dict.fromkeys(PORTS, DOMAIN | PORTS),
    **dict.fromkeys(FLOWS, DOMAIN | PORTS | FLOWS),
    **{room: set() for room in TOOLS},
    **{room: DOMAIN | PORTS | TOOLS | {room} for room in ADAPTERS},
    **dict.fromkeys(CONSOLE, DOMAIN | PORTS | FLOWS | CONSOLE | TOOLS),
    **dict.fromkeys(EDGE, DOMAIN | PORTS | FLOWS | TOOLS | ADAPTERS | CONSOLE | EDGE),
}
STANDARD_ONLY = DOMAIN | PORTS


def rooms() -> Iterator[tuple[Path, str, str]]:
    """(file, its room, a module that it imports), for every import in the house."""
    for path in sorted(ENGINE.rglob("*.py")):
        parts = path.relative_to(ENGINE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        package = ("engine", *path.relative_to(ENGINE).parent.parts)
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names):
                    for name in names:
                        yield path, parts[0], name.name
                case ast.ImportFrom(module, names, level):
                    base = package[: len(package) - level + 1] if level else ()
                    whole = ".".join((*base, module or "")).strip(".")
                    if whole == "engine":
                        for name in names:
                            yield path, parts[0], f"engine.{name.name}"
                    else:
                        yield path, parts[0], whole


def test_every_room_is_on_a_floor() -> None:
    found = {room for _, room, _ in rooms()}
    assert found <= MAY_KNOW.keys(), f"on no floor: {found - MAY_KNOW.keys()}"


def test_imports_point_down() -> None:
    wrong = [
        f"{path.relative_to(ENGINE)} imports {module}"
        for path, room, module in rooms()
        if module.startswith("engine.") and module.split(".")[1] not in MAY_KNOW[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_pure_floor_knows_the_standard_library_alone() -> None:
    import sys

    wrong = [
        f"{path.relative_to(ENGINE)} imports {module}"
        for path, room, module in rooms()
        if room in STANDARD_ONLY
        and module.split(".")[0] not in sys.stdlib_module_names
        and not module.startswith("engine")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("word", ["datetime.now(", "time.time(", "random.", "os.environ", "open("])
def test_the_pure_floor_is_pure(word: str) -> None:
    """No clock, no randomness, no environment, no files."""
    guilty = [path.name for path in (ENGINE / "domain").rglob("*.py") if f" {word}" in path.read_text()]
    assert not guilty
