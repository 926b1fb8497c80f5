"""The run tree of a private Asterisk: its directories, and its configuration rendered from the templates."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jinja2

from engine.asterisk.modules import MODULES, REQUIRED_MODULES
from engine.asterisk.settings import AsteriskSettings
from engine.share import share_dir

_SOCKET_PATH_BYTES = 100  # a UNIX socket's path may have 107
# Loaded modules complain when these are not there, and need nothing said in them.
_EMPTY_FILES = ("features.conf", "musiconhold.conf", "udptl.conf", "cli_aliases.conf", "ccss.conf",
                "cel.conf", "codecs.conf", "websocket_client.conf", "cli.conf", "cli_permissions.conf")  # fmt: skip


def render(settings: AsteriskSettings) -> None:
    """Write the run tree of `settings`: every directory, and every file of etc/ in one atomic step each.

    Raises FileNotFoundError if the prefix holds no Asterisk.
    """
    available = {path.stem for path in (settings.prefix / "modules").glob("*.so")}
    if missing := [name for name in REQUIRED_MODULES if name not in available]:
        raise FileNotFoundError(
            f"no usable Asterisk in {settings.prefix} (no {', '.join(missing[:3])}); run asterisk/fetch.py"
        )
    run = settings.run_dir
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    control = control_dir(settings)
    for name in (
        "etc",
        "lib/keys",
        "data/sounds",
        "spool/recording",
        "spool/tmp",
        "spool/outgoing",
        "log",
        "cache",
    ):
        (run / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory in (control, settings.live_dir, settings.sounds_dir):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    share = settings.prefix / "share"
    for name in ("documentation", "rest-api"):
        _link(run / "data" / name, share / name)
    for sounds in sorted((share / "sounds").glob("*")):
        _link(run / "data" / "sounds" / sounds.name, sounds)
        if sounds.name.startswith("ru_RU"):  # Debian names it after the speaker; Asterisk looks for `ru`
            _link(run / "data" / "sounds" / "ru", sounds)

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([share_dir() / "asterisk", share_dir() / "dialplans"]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - these are not web pages; the settings check their own values
        keep_trailing_newline=True,
    )
    context = {
        "s": settings,
        "etc": run / "etc",
        "control_dir": control,
        "modules": [name for name in MODULES if name in available],
        "required": REQUIRED_MODULES,
    }
    files = {
        name.removesuffix(".j2"): environment.get_template(name).render(context)
        for name in environment.list_templates(extensions=["j2"])
    }
    for name in _EMPTY_FILES:
        files.setdefault(name, "[general]\n")
    for name, text in files.items():
        _write(run / "etc" / name, text)
    for stale in {path.name for path in (run / "etc").iterdir()} - files.keys():
        (run / "etc" / stale).unlink()


def control_dir(settings: AsteriskSettings) -> Path:
    """Where the control socket lies: under the run directory, unless that makes its name too long for a socket."""
    inside = settings.run_dir / "run"
    if len(os.fsencode(inside / "asterisk.ctl")) <= _SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(settings.run_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"dozvon-{os.getuid()}-{digest}"


def _link(link: Path, target: Path) -> None:
    if not target.exists() or (link.is_symlink() and link.readlink() == target):
        return
    with _replacing(link) as fresh:
        fresh.symlink_to(target)


def _write(path: Path, text: str) -> None:
    with _replacing(path) as fresh:
        fresh.touch(mode=0o600)
        fresh.write_text(text)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    yield fresh
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    fresh.replace(path)
