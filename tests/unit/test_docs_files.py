"""The examples of docs/company.md and docs/policies.md are a sound company."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from engine.files.company import load_company

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "docs" / document).read_text())


def test_the_examples_load(tmp_path: Path) -> None:
    for language, text in blocks("company.md"):
        name = re.match(r"# (\w+\.yaml)\n", text)
        if name:
            (tmp_path / name[1]).write_text(text)
        elif language == "csv":
            (tmp_path / "residents.csv").write_text(text)
    ((_, policy),) = [block for block in blocks("policies.md") if block[0] == "yaml"]
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "water.yaml").write_text(policy)
    loaded = load_company(tmp_path, ROOT / "escalation_policies", now=datetime(2026, 11, 21, tzinfo=UTC))
    assert loaded.company is not None, "\n".join(map(str, loaded.findings))
    assert [str(one).partition(": ")[2] for one in loaded.findings] == [
        "замечание: график «weekly» не нужен ни одной политике; назовите его в ring или удалите"
    ]
    assert {policy.name for policy in loaded.company.policies} == {"water", "default", "urgent", "gas"}
