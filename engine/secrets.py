"""The secrets of an installation: made on its first start, kept in a file that only its owner can read."""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

_BYTES = 24


@dataclass(frozen=True, slots=True)
class Secrets:
    """Passwords between our own parts (letters, digits, `-` and `_`), and the keys that sign console links and webhooks."""

    ari_password: str = field(repr=False)
    ami_password: str = field(repr=False)
    console_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    desk_phones: Mapping[str, str] = field(repr=False)  # name of the phone: its SIP password


def load_or_create_secrets(path: Path, desk_phones: Iterable[str] = ("operator1",)) -> Secrets:
    """Read the secrets at `path`; make the file, or only what it lacks, where that is not there yet.

    Two processes that start at once get the same ones. Raises ValueError if the file is not what we wrote, and
    PermissionError if others can read it: then what it holds is no secret any more.
    """
    phones = tuple(desk_phones)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = _complete({}, phones)
        with contextlib.suppress(FileExistsError):  # another process was faster: its secrets count
            _publish(path, made, os.link)
    if path.stat().st_mode & 0o077:
        raise PermissionError(
            f"{path} can be read by others: chmod 600 {path}, and change the passwords in it"
        )
    try:
        kept = json.loads(path.read_text())
        found = _complete(kept, phones)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); restore it, or delete it to have new secrets made"
        ) from error
    if asdict(found) != kept:
        _publish(path, found, os.replace)
    return found


def _complete(kept: Mapping[str, object], phones: tuple[str, ...]) -> Secrets:
    known = kept.get("desk_phones", {})
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        raise TypeError("desk_phones must be names and passwords")

    def secret(name: str) -> str:
        value = kept.get(name) or secrets.token_urlsafe(_BYTES)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text")
        return value

    return Secrets(
        ari_password=secret("ari_password"),
        ami_password=secret("ami_password"),
        console_secret=secret("console_secret"),
        webhook_secret=secret("webhook_secret"),
        desk_phones={
            **known,
            **{name: secrets.token_urlsafe(_BYTES) for name in phones if name not in known},
        },
    )


def _publish(path: Path, made: Secrets, step: Callable[[Path, Path], None]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    try:
        fresh.write_text(json.dumps(asdict(made), indent=1) + "\n")
        step(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
