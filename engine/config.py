"""The settings of an installation: one file, read once, every key with a default and an environment override.

`DOZVON_CONFIG` names the file (default `dozvon.yaml`, which may be absent); `DOZVON_BASE_PORT` overrides `base_port`,
`DOZVON_DATABASE_URL` overrides `database_url`, `DOZVON_VOICE_NAME` overrides `voice: {name: …}`, and so on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from engine.domain.errors import DozvonError
from engine.domain.finding import Finding
from engine.files.reading import read_shape
from engine.files.scalars import Duration, Id
from engine.files.shapes import Shape
from engine.files.source import Keys, Tree, read_yaml

PREFIX = "DOZVON_"
DEFAULT_FILE = "dozvon.yaml"


class ConfigError(DozvonError, ValueError):
    """The settings cannot be used; the text lists every mistake as `file:line:column: what is wrong; what to do`."""


class CannotStart(DozvonError):
    """The engine cannot do its work as it is set up; the text says why and what to do."""


def _as_list(value: object) -> object:
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65535)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class TrunkSettings(Shape):
    """A line to the telephone network."""

    name: str
    host: str
    port: Port = 5060
    username: str = ""
    password: str = Field("", repr=False)
    register_us: bool = Field(False, alias="register")
    max_channels: int = Field(30, ge=1)
    calls_a_second: float = Field(10.0, gt=0)
    """How fast the line's owner lets us place calls, on average; half of it at one moment."""
    calls_from: Names = ()


class AsteriskPart(Shape):
    """Our Asterisk. With `manage: false` it is somebody else's, reached at `host`."""

    manage: bool = True
    prefix: Path = Path(".cache/asterisk")
    host: str = "127.0.0.1"
    sip_host: str = "127.0.0.1"
    trunks: tuple[TrunkSettings, ...] = ()
    """Empty: the demo company's, a SIP peer on loopback."""
    desk_phones: Names = ("operator1",)


class VoicePart(Shape):
    """Speech synthesis."""

    name: str = "anna"
    prefix: Path = Path(".cache/rhvoice")


class ConsolePart(Shape):
    """The console and the HTTP API."""

    host: str = "127.0.0.1"
    url: str | None = None
    """Under which address people reach it, if not directly."""


class TextProvider(Shape):
    """A way to send SMS: a shipped template (kannel, smsc_ru, sms_ru, smsaero, exolve), a file of your own, `smpp` or `yeastar`."""

    name: Id
    template: str
    url: str | None = None
    """Where it is, if not where the template says. For `smpp`: `smpp://host:port`; for `yeastar`: `ami://host:port`."""
    sender: str = ""
    """As whom we write. Only a number that can receive is answered."""
    credentials: dict[str, str] = Field({}, repr=False)
    companies: Names = ()
    """Whose texts it sends; empty: everybody's. Several for one company are tried in the order of this file."""
    allow_from: Names = ()
    """Addresses and networks from which it may call us; empty: any that knows the key."""


class SmsPart(Shape):
    """Texts. Without providers they go to the log."""

    providers: tuple[TextProvider, ...] = ()
    callback_url: str | None = None
    """Where providers reach us, if not at the console's address."""
    links: bool = False
    """Put a link to an answering page into texts to staff; the console must be reachable from their phones."""
    link_for: Duration = timedelta(hours=2)
    """How long such a link works."""
    report_within_emergency: Duration = timedelta(seconds=60)
    """Without a delivery report for so long, the next provider is tried."""
    report_within_urgent: Duration = timedelta(minutes=5)
    news_per_second: Annotated[float, Field(gt=0, le=1000)] = 5.0
    at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """How many texts are handed over at the same time."""
    probe_to: Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")] | None = None
    """A number (E.164, not our own) that gets a text by each provider, to see that they arrive; none: only reports are watched."""
    probe_every: Duration = timedelta(days=1)
    """How often. Daily ones go at 09:00 UTC."""


class LogPart(Shape):
    """Logs."""

    form: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class CallsPart(Shape):
    """Limits of calls."""

    message_for: Duration = timedelta(seconds=120)
    """The longest message that a resident may leave."""
    robocall_for: Duration = timedelta(seconds=120)
    """The longest that one robocall may talk."""
    calls_of_a_caller: Annotated[int, Field(ge=1)] = 20
    """More calls of one number within ten minutes are offered the choice of an emergency alone."""
    calls_at_once: Annotated[int, Field(ge=1)] = 500
    """The same for all calls to the hotline at the same time."""


class OperatorsPart(Shape):
    """The operators' room: the law's clocks, and how patiently desk phones are rung (`engine.domain.queueing.Rules`)."""

    answer_within: Duration = timedelta(minutes=5)
    call_back_within: Duration = timedelta(minutes=10)
    call_back_tries: Annotated[int, Field(ge=1, le=20)] = 3
    try_again_after: Duration = timedelta(minutes=1)
    too_late_after: Duration = timedelta(hours=1)
    """So long after it was due, a promised call back is given up, whatever kept it."""
    without_operator_before: Duration = timedelta(seconds=90)
    """So long before a promised call back is due, the caller is rung even if no operator is free."""
    ring_for: Duration = timedelta(seconds=15)
    wrap_up: Duration = timedelta(seconds=20)
    """What an operator has after each talk to write it down."""
    rest_after_miss: Duration = timedelta(seconds=30)
    misses_allowed: Annotated[int, Field(ge=1, le=100)] = 3
    """A desk phone that rings in vain so often in a row is signed out."""
    offer_every: Duration = timedelta(minutes=1)
    usual_talk: Duration = timedelta(minutes=3)
    """Foretells the wait until talks were measured."""
    music: Path | None = None
    """Music on hold: a WAV, 8 kHz, mono, 16 bit. None: a quiet tune of our own."""


class S3Part(Shape):
    """A copy of the recordings in an S3-compatible store. Off without a bucket."""

    bucket: str | None = None
    endpoint: str | None = None
    """Its address; None: Amazon's."""
    region: str = "us-east-1"
    access_key: Annotated[str | None, Field(repr=False)] = None
    secret_key: Annotated[str | None, Field(repr=False)] = None
    prefix: str | None = None
    keep_local_for: Duration | None = None
    """Sound that nobody asked for so long is let go here, once the store was seen to hold it; None: never."""


class RecordingPart(Shape):
    """Recordings, as far as the installation decides; the rest is each company's."""

    form: Literal["opus", "flac", "wav"] = "opus"
    """How they are kept unless the company says otherwise."""
    workers: Annotated[int, Field(ge=1, le=16)] = 1
    """How many processes join and render them."""
    warn_below_mb: Annotated[int, Field(ge=1)] = 1024
    """Warn when less is free on the disk."""
    reserve_mb: Annotated[int, Field(ge=8)] = 64
    """Held for events and emergencies when the disk is full."""
    s3: S3Part = S3Part()


class Settings(Shape):
    """All of it. Paths are relative to the working directory."""

    base_port: Annotated[int, Field(ge=1024, le=62000)] = 15060
    """SIP here, AMI + 1, ARI + 2, console + 3, the demo's far end + 50, RTP from + 100."""
    data_dir: Path = Path("var")
    recordings_dir: Path | None = None
    companies_dir: Path | None = None
    database_url: str | None = Field(None, repr=False)
    failpoint: str | None = None
    """For crash tests alone: the engine kills itself (SIGKILL) on reaching this point (`engine.flows.deps.FAILPOINTS`)."""
    asterisk: AsteriskPart = AsteriskPart()
    voice: VoicePart = VoicePart()
    console: ConsolePart = ConsolePart()
    log: LogPart = LogPart()
    calls: CallsPart = CallsPart()
    operators: OperatorsPart = OperatorsPart()
    recording: RecordingPart = RecordingPart()
    sms: SmsPart = SmsPart()

    @property
    def recordings(self) -> Path:
        """Where recordings are kept."""
        if self.recordings_dir is not None:
            return self.recordings_dir.absolute()
        base = Path() if self.data_dir == Path("var") else self.data_dir
        return (base / "recordings").absolute()

    @property
    def companies(self) -> Path:
        """The folder whose sub-folders are the companies."""
        return (self.companies_dir or self.data_dir / "companies").absolute()

    @property
    def database(self) -> str:
        """The store's URL, for SQLAlchemy."""
        return self.database_url or f"sqlite+aiosqlite:///{(self.data_dir / 'dozvon.sqlite').absolute()}"

    @property
    def console_port(self) -> int:
        return self.base_port + 3

    @property
    def console_url(self) -> str:
        return self.console.url or f"http://{self.console.host}:{self.console_port}"

    def inside(self, *parts: str) -> Path:
        """A path in the data directory."""
        return self.data_dir.absolute().joinpath(*parts)


def load(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises `ConfigError` with every mistake in them, or if a file that was asked for is not there."""
    named = file or (Path(environment[f"{PREFIX}CONFIG"]) if f"{PREFIX}CONFIG" in environment else None)
    path = named or Path(DEFAULT_FILE)
    tree = Tree(str(path), {})
    if named is not None or path.exists():
        found, findings = read_yaml(path, str(path))
        if found is None or findings:
            raise ConfigError("\n".join(finding.line_of_text() for finding in findings))
        tree = found
        tree.value = tree.value or {}
    variables = _override(tree.value, Settings, PREFIX, environment)
    settings, findings, _ = read_shape(Settings, tree)
    if settings is None:
        raise ConfigError("\n".join(_line_of_text(finding, variables) for finding in findings))
    return settings


def _override(
    value: dict[str, Any], shape: type[Shape], prefix: str, environment: Mapping[str, str], at: Keys = ()
) -> dict[Keys, str]:
    """Lay the environment over what the file says; which variable each value is from now."""
    variables: dict[Keys, str] = {}
    for name, field in shape.model_fields.items():
        variable, path = f"{prefix}{name.upper()}", (*at, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Shape):
            part = value.get(name) or {}
            variables |= _override(part, field.annotation, f"{variable}_", environment, path)
            if part:
                value[name] = part
        elif variable in environment:
            value[name] = environment[variable]
            variables[path] = variable
    return variables


def _line_of_text(finding: Finding, variables: Mapping[Keys, str]) -> str:
    """Where the mistake is: in the file, or in a variable of the environment."""
    for path, variable in variables.items():
        if finding.path[: len(path)] == path:
            return f"{variable}: {finding.message}; {finding.mend}"
    return finding.line_of_text()
