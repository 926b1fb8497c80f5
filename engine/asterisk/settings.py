"""What a private Asterisk is made from: where it lies, who may call it, and whom it rings without the engine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_NUMBER = re.compile(r"\+?[0-9]{2,15}")
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_PLAIN_PATH = re.compile(r"[^\r\n\t,;:&|\"'$(){}\[\]\\^]+(?<! )")
_ONE_LINE = re.compile(r"[^\r\n;<>\"]*")

FAR_END_OFFSET = 50  # the simulated telephone network of the demo company listens on the base port plus this
RTP_OFFSET = 100


@dataclass(frozen=True, slots=True)
class Trunk:
    """A line to the telephone network. `calls_from`: addresses or networks whose INVITEs are residents' calls
    (the host itself, when empty). `max_channels` is what its owner sold; the engine keeps to it."""

    name: str
    host: str
    port: int = 5060
    username: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    max_channels: int = 30
    calls_from: tuple[str, ...] = ()
    qualify_seconds: int = 0

    def __post_init__(self) -> None:
        _check(_NAME, self.name, "a trunk's name")
        _check(_HOST, self.host, f"the host of trunk {self.name}")
        _check(_ONE_LINE, self.username + self.password, f"the credentials of trunk {self.name}")


@dataclass(frozen=True, slots=True)
class DeskPhone:
    """A phone on an operator's desk, which registers with us by name and password."""

    name: str
    password: str = field(repr=False)
    title: str = ""

    def __post_init__(self) -> None:
        _check(_NAME, self.name, "a desk phone's name")
        _check(_ONE_LINE, self.password + self.title, f"the password or title of desk phone {self.name}")


@dataclass(frozen=True, slots=True)
class AsteriskSettings:
    """One Asterisk. Several run side by side if their base ports and run directories differ.

    `prefix` is what asterisk/fetch.py filled; `run_dir` gets all that is written; `live_dir` gets the legs of calls
    that are up; `sounds_dir` may hold the spoken prompts of the stand-alone fallback (8 kHz WAV, the
    `fallback_*` names), else Asterisk's own Russian prompts serve. `fallback_numbers`: by DID, in ringing order.
    """

    prefix: Path
    run_dir: Path
    base_port: int
    ari_password: str = field(repr=False)
    ami_password: str = field(repr=False)
    live_dir: Path
    sounds_dir: Path
    trunks: tuple[Trunk, ...]
    desk_phones: tuple[DeskPhone, ...] = ()
    fallback_numbers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fallback_greeting: str = "fallback-greeting"  # "the call is recorded, say what happened after the tone"
    fallback_hold: str = "fallback-hold"  # "stay on the line, the service is being rung"
    fallback_confirm: str = "fallback-confirm"  # to the staff: "to take the call press 1"
    fallback_message_seconds: int = 60
    fallback_silence_seconds: int = 4
    fallback_ring_seconds: int = 25
    fallback_confirm_seconds: int = 5  # to press 1 in, after each of two askings
    fallback_rounds: int = 3
    sip_host: str = "127.0.0.1"
    control_host: str = "127.0.0.1"  # AMI and ARI: nothing but this machine ever needs them
    rtp_ports: int = 3000
    sip_t1_ms: int = 100
    language: str = "ru"
    ari_app: str = "dozvon"
    ari_user: str = "dozvon"
    ami_user: str = "dozvon"

    def __post_init__(self) -> None:
        for path in (self.prefix, self.run_dir, self.live_dir, self.sounds_dir):
            if not path.is_absolute():
                raise ValueError(f"{path} must be an absolute path")
            _check(_PLAIN_PATH, str(path), "a path that a dialplan has to spell")
        for did, numbers in self.fallback_numbers.items():
            for number in (did, *numbers):
                _check(_NUMBER, number, "a fallback number")
        for secret in (self.ari_password, self.ami_password):
            _check(
                re.compile(r"[A-Za-z0-9_.-]{8,}"),
                secret,
                "a secret (letters, digits, at least 8)",
                shown=False,
            )

    @property
    def sip_port(self) -> int:
        return self.base_port

    @property
    def ami_port(self) -> int:
        return self.base_port + 1

    @property
    def ari_port(self) -> int:
        return self.base_port + 2

    @property
    def ari_url(self) -> str:
        return f"http://{self.control_host}:{self.ari_port}/ari"

    @property
    def rtp_start(self) -> int:
        return self.base_port + RTP_OFFSET

    @property
    def rtp_end(self) -> int:
        return min(self.rtp_start + self.rtp_ports - 1, 65535)

    @property
    def config_file(self) -> Path:
        return self.run_dir / "etc" / "asterisk.conf"

    @property
    def rest_api_dir(self) -> Path:
        """The API description that this Asterisk ships."""
        return self.prefix / "share" / "rest-api"

    def dial_string(self, number: str, trunk: str = "") -> str:
        """The endpoint to originate to for `number` through `trunk` (the first one, when not named).

        Raises ValueError for what is not a plain number: nothing else may reach a dial string.
        """
        _check(_NUMBER, number, "a number to dial")
        return f"PJSIP/{number}@{trunk or self.trunks[0].name}"

    def desk_dial_string(self, phone: str) -> str:
        """The endpoint to originate to for a registered desk phone."""
        _check(_NAME, phone, "a desk phone's name")
        return f"PJSIP/{phone}"


def demo_trunk(base_port: int) -> Trunk:
    """The demo company's line: whoever calls from loopback is a resident, and what we dial goes to the far end."""
    return Trunk("trunk", "127.0.0.1", base_port + FAR_END_OFFSET, calls_from=("127.0.0.0/8",))


def _check(pattern: re.Pattern[str], value: str, what: str, *, shown: bool = True) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{what} cannot be {value!r}" if shown else f"{what} does not fit")
