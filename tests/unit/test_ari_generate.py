"""The generator of the ARI client, on a description of three lines; the real one is compared in tests/contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.asterisk.ari import generate

DESCRIPTION = {
    "apiVersion": "9.9",
    "apis": [
        {
            "path": "/lamps/{lampId}",
            "operations": [
                {
                    "httpMethod": "POST",
                    "nickname": "shine",
                    "summary": "Let a lamp shine.",
                    "responseClass": "List[Lamp]",
                    "parameters": [
                        {"name": "lampId", "paramType": "path", "dataType": "string", "required": True},
                        {"name": "from", "paramType": "query", "dataType": "int", "required": True},
                        {"name": "colour", "paramType": "query", "dataType": "string", "allowMultiple": True},
                        {"name": "variables", "paramType": "body", "dataType": "containers"},
                    ],
                    "errorResponses": [{"code": 404, "reason": "Lamp not found"}],
                }
            ],
        }
    ],
    "models": {
        "Lamp": {
            "properties": {
                "class": {"type": "string", "required": True},
                "watts": {"type": "double"},
            }
        },
        "Message": {"properties": {"type": {"type": "string", "required": True}}, "subTypes": ["Event"]},
        "MissingParams": {"properties": {}},
        "Event": {"properties": {"timestamp": {"type": "Date", "required": True}}, "subTypes": ["LampShone"]},
        "LampShone": {"properties": {"lamp": {"type": "Lamp", "required": True}}},
    },
}


@pytest.fixture
def apis(tmp_path: Path) -> tuple[generate.Api, ...]:
    (tmp_path / "lamps.json").write_text(json.dumps(DESCRIPTION))
    (tmp_path / "resources.json").write_text("{}")
    return generate.read(tmp_path)


def test_models_are_structs_and_events_are_tagged(apis: tuple[generate.Api, ...]) -> None:
    source = generate.model_source(apis)
    assert 'class_: str = field(name="class")' in source
    assert "watts: float | None = None" in source
    assert "class LampShone(Event, frozen=True, kw_only=True):" in source
    assert "lamp: Lamp\n" in source
    assert "type: str" not in source


def test_operations_are_typed_coroutines(apis: tuple[generate.Api, ...]) -> None:
    source = generate.operations_source(apis)
    assert "async def shine(" in source
    assert "-> tuple[Lamp, ...]:" in source
    assert "from_: int," in source
    assert "colour: str | Sequence[str] | None = None" in source
    assert 'f"/lamps/{_segment(lampId)}"' in source
    assert '"from": from_' in source
    assert 'body={"variables": variables}' in source
    assert "404: Lamp not found" in source
    assert "self.lamps = Lamps(rest)" in source


def test_a_folder_without_a_description(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="rest-api"):
        generate.read(tmp_path)
