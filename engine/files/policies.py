"""Policy files: YAML ↔ `Policy`, and the JSON Schema that editors check them with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.domain.finding import Finding
from engine.domain.policy import AfterAccepting, Exhaustion, Policy, Step, Target, TargetKind
from engine.files.reading import read_shape, salvage
from engine.files.shapes import AlarmShape, PolicyShape, TargetShape
from engine.files.source import Tree, read_yaml


def read_policy(path: Path, file: str) -> tuple[Policy | None, Tree | None, list[Finding]]:
    """Read one policy file. `file` is the name that findings print. A policy that comes with errors serves to look for more of them."""
    tree, findings = read_yaml(path, file)
    if tree is None:
        return None, None, findings
    shape, wrong, paths = read_shape(PolicyShape, tree)
    findings += wrong
    shape = shape or salvage(PolicyShape, tree, (), paths)
    if shape is None:
        return None, tree, findings
    if shape.name != path.stem:
        place = tree.find(("name",))
        words = {"name": shape.name, "file": path.stem}
        findings.append(Finding("policy.name", words=words).at(file, place.line, place.column))
    return policy_of(shape), tree, findings


def policy_of(shape: PolicyShape) -> Policy:
    """The frozen value behind a policy's text."""
    return Policy(
        name=shape.name,
        title=shape.title,
        urgency=shape.for_.urgency,
        causes=shape.for_.causes,
        steps=tuple(
            Step(
                name=step.name,
                ring=tuple(target_of(target) for target in step.ring),
                how=step.how,
                sms=step.sms,
                ring_for=step.ring_for,
                calls=step.calls,
                again_after=step.again_after,
                give_up_after=step.give_up_after,
            )
            for step in shape.steps
        ),
        when_exhausted=Exhaustion(
            repeat=shape.when_exhausted.repeat,
            every=shape.when_exhausted.every,
            alarm=tuple(target_of(target) for target in shape.when_exhausted.alarm),
        ),
        after_accepting=AfterAccepting(
            shape.after_accepting.report_arrival_within, shape.after_accepting.report_done_within
        ),
    )


def target_of(shape: TargetShape | AlarmShape) -> Target:
    """One name in a `ring` or an `alarm`."""
    kind = next(kind for kind in shape.KINDS if getattr(shape, kind) is not None)
    return Target(TargetKind(kind), getattr(shape, kind))


def schema() -> dict[str, Any]:
    """The JSON Schema of a policy file; the same shapes that the loader applies."""
    found = PolicyShape.model_json_schema(by_alias=True)
    shapes = {"PolicyShape": found, **found["$defs"]}
    for name, shape in shapes.items():
        shape.pop("title", None)
        shape.pop("description", None)  # said for those who read the code; editors show what the keys are for
        if name in ("TargetShape", "AlarmShape"):
            shape |= {"minProperties": 1, "maxProperties": 1}
        for key, body in shape.get("properties", {}).items():
            body.pop("title", None)
            _without_null(body)
            if key != "steps":
                _one_or_list(body)
    found["properties"]["version"] = {"const": 1, "description": "версия языка политик: 1"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Политика эскалации Dozvon",
        **found,
    }


def schema_text() -> str:
    """The schema as it is kept in `escalation_policies/policy.schema.json`."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def _without_null(key: dict[str, Any]) -> None:
    """A key that may be left out may not be written empty."""
    options = [option for option in key.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del key["anyOf"]
        key |= options[0]
    if key.get("default", ...) in (None, []):
        del key["default"]


def _one_or_list(key: dict[str, Any]) -> None:
    """A list may be written without brackets when it has one item (`ring: {…}`, `causes: "*"`)."""
    if key.get("type") != "array":
        return
    fewest = {"minItems": 1} if key.pop("minLength", key.pop("minItems", 0)) else {}
    items = key.pop("items")
    del key["type"]
    key["anyOf"] = [items, {"type": "array", "items": items, **fewest}]
