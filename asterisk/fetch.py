#!/usr/bin/env python3
"""Obtain a real Asterisk, and Russian voices, without root and without touching the system.

    asterisk/fetch.py asterisk --into .cache/asterisk
    asterisk/fetch.py voices   --into .cache/rhvoice
    asterisk/fetch.py english  --into .cache/rhvoice     adds an English voice to the Russian ones, for lines with `language: en`

Debian packages are resolved by a private apt configuration (the machine's own mirror, keys and proxy; its own
package lists and dpkg status), unpacked under a prefix and patched to use the libraries that lie beside them.
Only the standard library is used, so that the system's Python is enough. A second run returns at once; an
interrupted one is begun anew; two at the same time wait for each other.

What comes out, the same whatever it was made from:

    asterisk: bin/asterisk  modules/  share/ (documentation, rest-api, sounds)   installed.json
    voices:   lib/libRHVoice.so.5  data/  config/       or    bin/festival  festival/      installed.json
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from debs import Failed, PrivateApt, Wanted, machine_codename, mirrors, say, unpack

RECIPE = 1  # raise it when a prefix made by an older script must be made anew
MINIMUM_ASTERISK = 20
# The voices of rhvoice-russian whose data is LGPL (CC BY-SA: aleksandr-hq); the others are non-commercial.
FREE_VOICES = frozenset({"irina", "elena", "anna", "aleksandr", "aleksandr-hq"})

ASTERISK = Wanted(
    packages=("asterisk", "asterisk-modules", "asterisk-core-sounds-ru-wav", "patchelf"),
    # Dependencies of modules that we do not load; modules that miss them are dropped afterwards.
    unwanted=(
        *("adduser", "debconf", "debconf-2.0", "passwd", "perl", "perl-base", "libperl5.42"),
        *("asterisk-config", "asterisk-config-custom", "asterisk-core-sounds-en"),
        *(
            "libcodec2-1.2",
            "libcurl4t64",
            "libglib2.0-0t64",
            "libgmime-3.0-0t64",
            "libical3t64",
            "libiksemel3",
        ),
        *(
            "libjack-jackd2-0",
            "libjack-0.125",
            "libjwt2",
            "libldap2",
            "liblua5.1-0",
            "libneon27t64",
            "libodbc2",
        ),
        *("libogg0", "libopencore-amrnb0", "libopencore-amrwb0", "libopusenc0", "libopusfile0"),
        *(
            "libportaudio2",
            "libpq5",
            "libradcli4",
            "libresample1",
            "libsnmp45",
            "libspandsp2t64",
            "libspeex1",
        ),
        *("libspeexdsp1", "libsybdb5", "libunbound8", "libvo-amrwbenc0", "libvorbis0a", "libvorbisenc2"),
        "libvorbisfile3",
    ),
    same_version=("asterisk-config", "asterisk"),
)
# These are loaded into the machine's own Python, hence with the machine's own C library.
_HOST_LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6")
RHVOICE = Wanted(
    packages=("librhvoice5", "rhvoice-russian", "patchelf"),
    unwanted=_HOST_LIBRARIES,
    components="main contrib non-free",
)
ENGLISH = Wanted(packages=("rhvoice-english",), unwanted=(), components="main contrib non-free")
# The language, and of its voices the woman's whose data is LGPL (CMU ARCTIC); the language first, for a voice needs it.
ENGLISH_DATA = ("languages/English", "voices/slt")
FESTIVAL = Wanted(
    packages=("festival", "festvox-ru", "patchelf"),
    unwanted=(*_HOST_LIBRARIES, "adduser", "alsa-utils", "sgml-base", "lsb-base", "debconf", "debconf-2.0"),
)


@contextmanager
def fresh_prefix(into: Path) -> Iterator[Path | None]:
    """Yield a directory to fill, which becomes `into` on success; None if `into` is already complete."""
    into.parent.mkdir(parents=True, exist_ok=True)
    with (into.parent / f".{into.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{into}: another run is working on it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(into):
            yield None
            return
        for leftover in into.parent.glob(f".{into.name}.*.part"):
            shutil.rmtree(leftover)
        part = into.parent / f".{into.name}.{os.getpid()}.part"
        part.mkdir()
        try:
            yield part
            shutil.rmtree(part / ".apt", ignore_errors=True)
            if into.exists():
                shutil.rmtree(into)
            part.rename(into)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def is_complete(into: Path) -> bool:
    """True if `into` was finished by this recipe, at this very place (patched binaries cannot be moved)."""
    try:
        marker = json.loads((into / "installed.json").read_text())
    except (OSError, ValueError):
        return False
    made_here = marker.get("recipe") == RECIPE and marker.get("path") == str(into)
    return made_here and all((into / name).exists() for name in marker.get("needs", ()))


def write_marker(part: Path, into: Path, what: str, version: str, needs: Iterable[str]) -> None:
    marker = {"what": what, "version": version, "recipe": RECIPE, "path": str(into), "needs": list(needs)}
    (part / "installed.json").write_text(json.dumps(marker, indent=1) + "\n")


# ---------------------------------------------------------------------------------------------- Asterisk


def fetch_asterisk(part: Path, into: Path, suites: tuple[str, ...]) -> str:
    """Fill `part` with an Asterisk that will run from `into`; return what it is, in words."""
    needs = ("bin/asterisk", "modules/chan_pjsip.so", "share/rest-api")
    if found := asterisk_on_path():
        binary, version = found
        link_host_asterisk(part, binary)
        missing = [name for name in needs if not (part / name).exists()]
        if not missing:
            write_marker(part, into, "asterisk", version, needs)
            return f"using {binary}, Asterisk {version}"
        say(f"asterisk: {binary} cannot be used ({', '.join(missing)} not found); taking Debian's packages")
        shutil.rmtree(part)
        part.mkdir()

    apt = from_some_suite(part, ASTERISK, suites)
    version = apt.version_of("asterisk")
    root = unpack(apt.download(ASTERISK.packages), part / "root")
    loader = next(root.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"))
    libraries, kept, dropped = loader.parent, 0, 0
    for module in (libraries / "asterisk/modules").glob("*.so"):
        if has_all_libraries(module, loader):
            kept += 1
        else:
            module.unlink()
            dropped += 1

    final_libraries = into / libraries.relative_to(part)
    (part / "bin").mkdir()
    patchelf = [str(loader), "--library-path", str(libraries), str(root / "usr/bin/patchelf")]
    patchelf += ["--set-interpreter", str(final_libraries / loader.name)]
    patchelf += ["--force-rpath", "--set-rpath", str(final_libraries)]
    run([*patchelf, "--output", str(part / "bin/asterisk"), str(root / "usr/sbin/asterisk")])
    (part / "bin/asterisk").chmod(0o755)
    (part / "modules").symlink_to(os.path.relpath(libraries / "asterisk/modules", part))
    (part / "share").symlink_to("root/usr/share/asterisk")
    run([str(loader), "--library-path", str(libraries), str(root / "usr/sbin/asterisk"), "-V"])
    write_marker(part, into, "asterisk", version, needs)
    return f"Asterisk {version} with {kept} modules ({dropped} without their libraries left out)"


def asterisk_on_path() -> tuple[Path, str] | None:
    """The machine's own Asterisk and its version, if it is new enough to be used as it is."""
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    if not (binary := shutil.which("asterisk", path=search)):
        return None
    said = subprocess.run([binary, "-V"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"Asterisk (?:certified[/-])?((\d+)\S*)", said)
    return (Path(binary), version[1]) if version and int(version[2]) >= MINIMUM_ASTERISK else None


def link_host_asterisk(part: Path, binary: Path) -> None:
    """Lay links to an installed Asterisk's parts, wherever its own configuration says that they lie."""
    settings: dict[str, str] = {}
    try:
        for line in Path("/etc/asterisk/asterisk.conf").read_text(errors="replace").splitlines():
            if found := re.match(r"\s*(ast\w+dir)\s*=>?\s*([^\s;]+)", line):
                settings[found[1]] = found[2]
    except OSError:
        pass  # readable by its own user only: the usual places will do
    usual_modules = [*Path("/usr/lib").glob("*/asterisk/modules"), Path("/usr/lib/asterisk/modules")]
    usual_data = [Path("/usr/share/asterisk"), Path("/var/lib/asterisk")]
    modules = [Path(settings["astmoddir"])] if "astmoddir" in settings else []
    data = [Path(settings["astdatadir"])] if "astdatadir" in settings else []
    (part / "bin").mkdir()
    (part / "bin/asterisk").symlink_to(binary)
    for name, places, sign in (
        ("modules", modules + usual_modules, "chan_pjsip.so"),
        ("share", data + usual_data, "rest-api"),
    ):
        if place := next((place for place in places if (place / sign).exists()), None):
            (part / name).symlink_to(place)


def has_all_libraries(module: Path, loader: Path) -> bool:
    """True if every library of `module` lies under the prefix: one found on the host only is not ours."""
    listing = subprocess.run(
        [loader, "--library-path", loader.parent, "--list", module],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"=> (/\S+)", listing.stdout)
    return listing.returncode == 0 and all(path.startswith(str(loader.parent)) for path in found)


# ------------------------------------------------------------------------------------------------ voices


def fetch_voices(part: Path, into: Path, suites: tuple[str, ...]) -> str:
    """Fill `part` with RHVoice and its free Russian voices, or else with festival; say which in words."""
    mirrors()  # without one there is no need to try
    troubles: list[Failed] = []
    for fetch in (fetch_rhvoice, fetch_festival):
        try:
            return fetch(part, into, suites)
        except Failed as trouble:
            say(f"voices: {trouble}")
            troubles.append(trouble)
            shutil.rmtree(part)
            part.mkdir()
    raise Failed(
        "no Russian voice could be had; the robocalls stay mute until one is there", troubles[0].mend
    )


def fetch_rhvoice(part: Path, into: Path, suites: tuple[str, ...]) -> str:
    apt = from_some_suite(part, RHVOICE, suites)
    version = apt.version_of("librhvoice5")
    root = unpack(apt.download(RHVOICE.packages), part / "root")
    voices = root / "usr/share/RHVoice/voices"
    for voice in voices.iterdir():
        if voice.name not in FREE_VOICES:
            shutil.rmtree(voice)
    library = next(root.glob("usr/lib/*-linux-gnu*/libRHVoice.so.5"))
    for path in library.parent.glob("lib*.so.*"):
        if not path.is_symlink():
            run([str(root / "usr/bin/patchelf"), "--force-rpath", "--set-rpath", "$ORIGIN", str(path)])
    run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(library)!r})"])
    (part / "lib").symlink_to(os.path.relpath(library.parent, part))
    (part / "data").symlink_to("root/usr/share/RHVoice")
    (part / "config").symlink_to("root/etc/RHVoice")
    write_marker(part, into, "rhvoice", version, ("lib/libRHVoice.so.5", "data/voices", "config"))
    return f"RHVoice {version} with the voices {', '.join(sorted(voice.name for voice in voices.iterdir()))}"


def add_english(into: Path, suites: tuple[str, ...]) -> str | None:
    """Add an English voice to the RHVoice in `into`; return what it is, in words, or None if it was there."""
    data = into / "data"
    if all((data / name).exists() for name in ENGLISH_DATA):
        return None
    if not (into / "lib/libRHVoice.so.5").exists():
        raise Failed(
            f"{into} has no RHVoice to add an English voice to", "run asterisk/fetch.py voices first"
        )
    with tempfile.TemporaryDirectory(prefix=".english.", dir=into) as folder:
        part = Path(folder)
        apt = from_some_suite(part, ENGLISH, suites)
        version = apt.version_of("rhvoice-english")
        root = unpack(apt.download(ENGLISH.packages), part / "root")
        for name in ENGLISH_DATA:
            with suppress(FileExistsError):  # two at the same time
                (root / "usr/share/RHVoice" / name).rename(data / name)
        shutil.copytree(root / "usr/share/doc", into / "root/usr/share/doc", dirs_exist_ok=True)
    return f"RHVoice's English voice slt {version}"


def fetch_festival(part: Path, into: Path, suites: tuple[str, ...]) -> str:
    apt = from_some_suite(part, FESTIVAL, suites)
    version = apt.version_of("festival")
    root = unpack(apt.download(FESTIVAL.packages), part / "root")
    binary = root / "usr/bin/festival"
    libraries = next(root.glob("usr/lib/*-linux-gnu*/libestools.so.*")).parent
    places = {libraries, *(path.parent for path in libraries.glob("*/lib*.so*"))}
    for path in (binary, *(path for place in places for path in place.glob("lib*.so*"))):
        if not path.is_symlink():
            beside = ":".join(f"$ORIGIN/{os.path.relpath(place, path.parent)}" for place in sorted(places))
            run([str(root / "usr/bin/patchelf"), "--force-rpath", "--set-rpath", beside, str(path)])
    (part / "bin").mkdir()
    command = part / "bin/festival"
    command.write_text(
        '#!/bin/sh\nroot=$(dirname "$(readlink -f "$0")")/../root\n'
        'exec "$root/usr/bin/festival" --datadir "$root/usr/share/festival" "$@"\n'
    )
    command.chmod(0o755)
    run([str(command), "-b", "(voice_msu_ru_nsh_clunits)"])
    (part / "festival").symlink_to("root/usr/share/festival")
    write_marker(part, into, "festival", version, ("bin/festival", "festival"))
    return f"festival {version} with a Russian voice (RHVoice sounds better, but could not be had)"


# ------------------------------------------------------------------------------------------------ common


def from_some_suite(part: Path, wanted: Wanted, suites: tuple[str, ...]) -> PrivateApt:
    """A private apt, updated, from the first mirror and suite that carry all wanted packages."""
    trouble: Failed | None = None
    for mirror in mirrors():
        for suite in suites:
            apt = PrivateApt(part / ".apt", mirror, suite, wanted)
            try:
                apt.update()
                return apt
            except Failed as failed:
                trouble = failed
    assert trouble is not None  # mirrors() raises when there is none
    raise trouble


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise Failed(
            f"{Path(command[0]).name} failed: {last[0]}",
            "run it again; if it stays, report it with this text",
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("asterisk", "voices", "english"))
    parser.add_argument("--into", type=Path, required=True, help="the prefix to fill")
    parser.add_argument("--suite", help="a Debian suite to take instead of the default one")
    options = parser.parse_args()
    into: Path = options.into.absolute()
    default_suites = (
        ("forky",) if options.what == "asterisk" else dict.fromkeys((machine_codename(), "forky"))
    )
    suites = (options.suite,) if options.suite else tuple(default_suites)
    fetch = fetch_asterisk if options.what == "asterisk" else fetch_voices
    begun = time.monotonic()
    try:
        if options.what == "english":
            if added := add_english(into, suites):
                say(f"voices: {added}; done in {time.monotonic() - begun:.0f} s")
            return 0
        if is_complete(into):
            return 0
        with fresh_prefix(into) as part:
            if part is not None:
                outcome = fetch(part, into, suites)
                say(f"{options.what}: {outcome}; done in {time.monotonic() - begun:.0f} s")
    except Failed as failed:
        print(f"{options.what}: {failed}\n  what to do: {failed.mend}", file=sys.stderr)
        return 1
    except OSError as failed:
        print(
            f"{options.what}: {failed}\n  what to do: free some space or mend the rights, then again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
