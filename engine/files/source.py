"""A YAML file as plain Python (mappings, lists, text, None) that remembers where each key and value stood.

Every scalar stays the text that was written: the shapes say what is a number, a time or a telephone number, so nothing is
read by YAML's own guesses (`18:30` as 1110, `on` as true, `+7900…` as an integer, `010` as eight).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from engine.domain.finding import Finding, Step

Plain: TypeAlias = Any
"""dict[str, Plain] | list[Plain] | str | None."""
Keys: TypeAlias = tuple[Step, ...]

MAX_BYTES = 4_000_000
MAX_NODES = 200_000
"""More than this is an alias bomb, not a company."""
TAGS = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge")
"""What YAML itself makes of unmarked text; any other tag was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both counted from 1."""

    line: int = 1
    column: int = 1


@dataclass(slots=True)
class Tree:
    """What a file says, and where it says it. `file` is the name to print."""

    file: str
    value: Plain = None
    keys: dict[Keys, Place] = field(default_factory=dict)
    values: dict[Keys, Place] = field(default_factory=dict)

    def find(self, path: Keys, key: bool = False) -> Place:
        """Where `path` stands: its value, or with `key` its key.

        Tolerant: a part of the path that the file does not spell out (the 0 of a list written as a single item, a key that is
        missing) is skipped, so the nearest place that exists is returned.
        """
        at: Keys = ()
        for step in path:
            at = (*at, step) if (*at, step) in self.values else at
        if key and at in self.keys:
            return self.keys[at]
        return self.values.get(at, Place())

    def nearest(self, path: Keys) -> Plain:
        """The value at `path`, as tolerantly as `find`."""
        at: Keys = ()
        for step in path:
            at = (*at, step) if (*at, step) in self.values else at
        return self.get(at)

    def get(self, path: Keys) -> Plain:
        """The value at `path`, None if there is none."""
        at = self.value
        for step in path:
            if isinstance(at, dict) and step in at:
                at = at[str(step)]
            elif isinstance(at, list) and isinstance(step, int) and step < len(at):
                at = at[step]
            else:
                return None
        return at


def read_yaml(path: Path, file: str) -> tuple[Tree | None, list[Finding]]:
    """Read a YAML file. None with a finding if it cannot be read at all; a tree with findings if only parts of it are wrong."""

    def refused(code: str, line: int = 1, column: int = 1, **words: object) -> tuple[None, list[Finding]]:
        return None, [Finding(code, file=file, line=line, column=column, words=words)]

    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return refused("file.missing", name=path.name)
    except OSError as error:
        return refused("file.unreadable", reason=error.strerror or str(error))
    if len(raw) > MAX_BYTES:
        return refused("file.too_big", megabytes=MAX_BYTES // 1_000_000)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        return refused(
            "file.encoding", before.count(b"\n") + 1, len(before) - before.rfind(b"\n"), byte=raw[error.start]
        )
    return read_text(text, file)


def read_text(text: str, file: str) -> tuple[Tree | None, list[Finding]]:
    """As `read_yaml`, for text that is at hand."""
    try:
        node = YAML(typ="rt").compose(text)
    except MarkedYAMLError as error:
        return None, [_syntax(error, text, file)]
    except YAMLError as error:
        position = getattr(error, "position", 0)
        before = text[: position if isinstance(position, int) else 0]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, [Finding("yaml.character", file=file, line=place.line, column=place.column)]
    except RecursionError:
        return None, [Finding("yaml.deep", file=file)]
    if node is None:
        return None, [Finding("yaml.empty", file=file)]
    reader = _Reader(Tree(file))
    try:
        reader.tree.value = reader.plain(node, (), ())
    except _TooMuch as much:
        return None, [Finding("yaml.deep", file=file, line=much.place.line, column=much.place.column)]
    return reader.tree, reader.findings


def _syntax(error: MarkedYAMLError, text: str, file: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(error.problem or "")
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    if "'\\t'" in problem or here[: column - 1].strip(" ") == "\t":
        code = "yaml.tab"
    elif "undefined alias" in problem:
        code = "yaml.alias"
    elif "another document" in problem:
        code = "yaml.documents"
    elif "mapping values are not allowed" in problem:
        code = "yaml.colon"
    elif "quoted scalar" in str(error.context):
        code = "yaml.quote"
        line, column = (
            (error.context_mark.line + 1, error.context_mark.column + 1) if error.context_mark else (1, 1)
        )
    elif "flow" in str(error.context):
        code = "yaml.bracket"
        line, column = (
            (error.context_mark.line + 1, error.context_mark.column + 1) if error.context_mark else (1, 1)
        )
    elif "cannot start any token" in problem:
        code = "yaml.start"
    elif "could not find expected ':'" in problem:
        code = "yaml.no_colon"
        line, column = (
            (error.context_mark.line + 1, error.context_mark.column + 1) if error.context_mark else (1, 1)
        )
    else:
        code = "yaml.syntax"
    return Finding(code, file=file, line=line, column=column, words={"problem": problem})


class _TooMuch(Exception):
    def __init__(self, place: Place) -> None:
        self.place = place


class _Reader:
    """Turns composed nodes into plain values, noting each place and each mistake."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.findings: list[Finding] = []
        self.seen = 0

    def plain(self, node: Node, path: Keys, above: tuple[Node, ...]) -> Plain:
        place = _place(node)
        self.seen += 1
        if self.seen > MAX_NODES or len(above) > 50 or any(node is one for one in above):
            raise _TooMuch(place)
        self.tree.values[path] = place
        tag = str(node.tag)
        if tag.rpartition(":")[2] not in TAGS:
            self.complain("yaml.tag", place, tag=tag.removeprefix("tag:yaml.org,2002:"))
        if isinstance(node, MappingNode):
            return self.mapping(node, path, (*above, node))
        if isinstance(node, SequenceNode):
            return [self.plain(item, (*path, index), (*above, node)) for index, item in enumerate(node.value)]
        if tag.endswith(":null"):
            return None
        return str(node.value)

    def mapping(self, node: MappingNode, path: Keys, above: tuple[Node, ...]) -> dict[str, Plain]:
        found: dict[str, Plain] = {}
        own: dict[str, Place] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            if not isinstance(key_node, ScalarNode):
                self.complain("yaml.key", place)
                continue
            key = str(key_node.value)
            if str(key_node.tag).endswith(":merge"):
                self.merge(value_node, path, above, found)
            elif key in own:
                self.complain("yaml.duplicate", place, key=key, line=own[key].line)
            else:
                own[key] = place
                found[key] = self.plain(value_node, (*path, key), above)
                self.tree.keys[(*path, key)] = place
        return found

    def merge(self, node: Node, path: Keys, above: tuple[Node, ...], into: dict[str, Plain]) -> None:
        """`<<: *common`: what is merged never overrides what the mapping says itself (YAML's rule), wherever it stands."""
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(source, MappingNode):
                self.complain("yaml.merge", _place(source))
                continue
            keys, values = dict(self.tree.keys), dict(self.tree.values)
            for key, value in self.mapping(source, path, (*above, source)).items():
                if key in into:
                    self.tree.keys.update(
                        {k: v for k, v in keys.items() if k[: len(path) + 1] == (*path, key)}
                    )
                    self.tree.values.update(
                        {k: v for k, v in values.items() if k[: len(path) + 1] == (*path, key)}
                    )
                else:
                    into[key] = value

    def complain(self, code: str, place: Place, **words: object) -> None:
        self.findings.append(
            Finding(code, file=self.tree.file, line=place.line, column=place.column, words=words)
        )


def _place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
