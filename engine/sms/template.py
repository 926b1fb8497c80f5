"""A provider described by a YAML file: how to send, what its answers mean, how its calls to us are read.

In every text of `send`, `probe` and `signature`, `{name}` is replaced: by a credential or an option of the configuration, or by
`{url}`, `{sender}`, `{sender_bare}` (without a leading plus), `{to}` (digits), `{to_plus}` (E.164), `{text}`, `{id}` (our id),
`{report_url}` (where a report on this text is awaited), `{hook_url}` (the same without the text's id).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

SHIPPED = Path(__file__).parent / "providers"
_HOLE = re.compile(r"\{(\w+)\}")
OWN = frozenset({"url", "sender", "sender_bare", "to", "to_plus", "text", "id", "report_url", "hook_url"})


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file whose keys are known."""


class Request(Part, frozen=True):
    """An HTTP request. At most one of `form` and `json` is its body."""

    url: str
    method: Literal["GET", "POST"] = "POST"
    headers: dict[str, str] = {}
    basic: tuple[str, str] | None = None
    query: dict[str, str] = {}
    form: dict[str, str] | None = None
    json: dict[str, Any] | None = None


class Answer(Part, frozen=True):
    """What an answer means. Paths lead into its JSON: `data.id`; `*` is any key or place. HTTP 429 and 5xx always mean «later»."""

    taken: dict[str, tuple[str | int | bool, ...]] = {}
    """Path → the values with which the message is taken; all of them must fit. Empty: any 2xx."""
    also: tuple[int, ...] = ()
    """HTTP statuses that are as good as 2xx: a probe may count on being told that something is missing."""
    reference: str | None = None
    reason: tuple[str, ...] = ()
    """Where the reason of a refusal stands; the first that is there."""
    code: str | None = None
    later: tuple[str | int, ...] = ()
    """Codes (or HTTP statuses) after which another try, or another provider, may do: no money, too fast, our own address or key refused."""


class Send(Part, frozen=True):
    """How to hand a message over."""

    request: Request
    answer: Answer = Answer()


class Signature(Part, frozen=True):
    """What a genuine call carries in `field`: a digest in hex of `over`, or an HMAC of the body with `key`."""

    field: str
    kind: Literal["md5", "sha1", "sha256", "hmac-sha256"]
    over: str = ""
    key: str | None = None
    header: bool = False


class Reports(Part, frozen=True):
    """How a delivery report is read. Fields are those of query, form and (flattened, `a.b`) JSON together."""

    when: dict[str, tuple[str, ...]]
    """Field → values; a call is a report if all fit. No values: the field is there."""
    state: str
    delivered: tuple[str, ...]
    failed: tuple[str, ...]
    text: str | None = None
    reference: str | None = None
    reason: str | None = None
    each: str | None = None
    """Several reports in one call: the name of the repeated field `data[]`; its lines are called as in `lines`."""
    lines: tuple[str, ...] = ()


class Messages(Part, frozen=True):
    """How a text from somebody is read."""

    when: dict[str, tuple[str, ...]]
    number: str
    body: str
    to: str | None = None
    reference: str | None = None
    each: str | None = None
    lines: tuple[str, ...] = ()


class Hook(Part, frozen=True):
    """How a provider's calls to us are read, and answered."""

    reports: Reports | None = None
    messages: Messages | None = None
    signature: Signature | None = None
    answer: str = "ok"


class Template(Part, frozen=True):
    """One kind of provider. `needs` are the credentials without which it cannot work, with what each is."""

    title: str
    send: Send
    url: str | None = None
    needs: dict[str, str] = {}
    options: dict[str, str] = {}
    """Further settings and their defaults."""
    reports: bool = False
    """Whether delivery reports are to be expected."""
    probe: Send | None = None
    hook: Hook = Hook()

    def missing(self, given: Mapping[str, str]) -> list[str]:
        """What the configuration lacks, each with what it is."""
        return [f"{name} ({what})" for name, what in self.needs.items() if not given.get(name)]


class TemplateError(ValueError):
    """A template cannot be used; the text names the file and the mistake."""


def load(name: str, folder: Path = SHIPPED) -> Template:
    """A shipped template by its name, or one of your own by its path (`….yaml`). Raises `TemplateError`."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise TemplateError(f"no template {name}; there are {known}, or give the path of a YAML file")
    try:
        template = msgspec.convert(YAML(typ="safe").load(path.read_text("utf-8")), Template)
    except (YAMLError, msgspec.ValidationError) as error:
        raise TemplateError(f"{path}: {error}") from error
    allowed = OWN | template.needs.keys() | template.options.keys()
    for wanted in sorted(holes(msgspec.to_builtins((template.send, template.probe))) - allowed):
        raise TemplateError(
            f"{path}: {{{wanted}}} is neither in needs nor in options, and not one of {', '.join(sorted(OWN))}"
        )
    return template


def holes(value: Any) -> set[str]:
    """The names in braces anywhere in a structure of texts."""
    match value:
        case str():
            return set(_HOLE.findall(value))
        case Mapping():
            return {name for item in value.items() for part in item for name in holes(part)}
        case list() | tuple():
            return {name for item in value for name in holes(item)}
        case _:
            return set()


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """The structure with its holes filled. A mapping's entry whose text is nothing but a hole without a word is left out."""
    match value:
        case str():
            return _HOLE.sub(lambda hole: words.get(hole[1], hole[0]), value)
        case Mapping():
            return {key: filled(item, words) for key, item in value.items() if not _empty(item, words)}
        case list() | tuple():
            return [filled(item, words) for item in value]
        case _:
            return value


def _empty(value: object, words: Mapping[str, str]) -> bool:
    alone = _HOLE.fullmatch(value) if isinstance(value, str) else None
    return alone is not None and not words.get(alone[1])


def at(value: Any, path: str) -> Any:
    """What stands at a path in JSON; None if nothing does. `*` takes the first key or place."""
    for step in path.split("."):
        if step == "*":
            inside = list(value.values()) if isinstance(value, dict) else value
            value = inside[0] if isinstance(inside, list) and inside else None
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value
