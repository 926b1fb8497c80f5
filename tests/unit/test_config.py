"""The settings: read from a file and the environment, every mistake named with its place."""

from pathlib import Path

import pytest

from engine.config import ConfigError, load


def test_the_environment_lies_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dozvon.yaml"
    file.write_text("base_port: 15000\noperators: {wrap_up: 20s}\n")
    settings = load(file, {"DOZVON_BASE_PORT": "16000"})
    assert (settings.base_port, settings.operators.wrap_up.total_seconds()) == (16000, 20)


def test_every_mistake_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "dozvon.yaml"
    file.write_text("log:\n  level: loud\n")
    environment = {"DOZVON_BASE_PORT": "99999", "DOZVON_OPERATORS_WRAP_UP": "soon"}
    with pytest.raises(ConfigError) as refused:
        load(file, environment)
    places = {line.split(": ")[0] for line in str(refused.value).splitlines()}
    assert places == {f"{file}:2:10", "DOZVON_BASE_PORT", "DOZVON_OPERATORS_WRAP_UP"}


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        load(tmp_path / "nothing.yaml", {})
