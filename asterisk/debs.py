"""Debian packages without root: a private apt beside the machine's own, and unpacking under a prefix."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
BY_OTHER_MEANS = (
    "install Asterisk 20 or newer (so that it is on the PATH) and RHVoice by this system's own means"
)
PROGRESS_EVERY_SECONDS = 5.0
NOT_UNPACKED = (
    "./usr/share/doc/*/?*.gz",  # but the copyright files stay
    "./usr/share/doc/*/examples",
    "./usr/share/man",
    "./usr/share/locale",
    "./usr/share/bug",
    "./usr/share/lintian",
    "./etc/ssl",
)


class Failed(Exception):
    """A step failed; `mend` says what the person at the keyboard can do about it."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.mend = mend


@dataclass(frozen=True)
class Wanted:
    """Packages whose closure is fetched, less the dependencies that are declared installed already."""

    packages: tuple[str, ...]
    unwanted: tuple[str, ...]
    components: str = "main"
    same_version: tuple[str, str] | None = None  # (unwanted, package): the first is depended on with "="


def say(line: str) -> None:
    print(line, flush=True)


def mirrors() -> list[str]:
    """The machine's own Debian mirrors, the sure ones first.

    Where `apt-get update` has never run the origin of an index is not known yet: those come after.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Failed("this machine has no apt-get", BY_OTHER_MEANS)
    rows = _index_targets() or _index_targets("--no-release-info")
    sure = [uri for uri, origin, label in rows if (origin, label) == ("Debian", "Debian")]
    unknown = [uri for uri, origin, _ in rows if origin in ("", "$(ORIGIN)")]
    if not sure + unknown:
        raise Failed(
            "apt on this machine knows no Debian mirror", f"add one to apt's sources, or {BY_OTHER_MEANS}"
        )
    return list(dict.fromkeys(sure + unknown))


def _index_targets(*options: str) -> list[list[str]]:
    """What `apt-get update` reads here: address, origin and label of each index."""
    form = "$(REPO_URI)\t$(ORIGIN)\t$(LABEL)"
    command = ["apt-get", "indextargets", *options, "--format", form, "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line.split("\t") for line in listed.stdout.splitlines() if line.count("\t") == 2]


def machine_codename() -> str:
    """The suite that this machine was installed from, as /etc/os-release calls it."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return "forky"
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    return settings.get("VERSION_CODENAME", "forky").strip('"')


class PrivateApt:
    """apt with a directory of its own for lists, cache and status; the machine's proxy and keys are kept."""

    def __init__(self, directory: Path, mirror: str, suite: str, wanted: Wanted) -> None:
        self.directory, self.mirror, self.suite, self.wanted = directory, mirror, suite, wanted

    def update(self) -> None:
        """Fetch the package lists. Raises Failed if there are none, or if a wanted package is not in them."""
        directory = self.directory
        shutil.rmtree(directory, ignore_errors=True)
        for name in ("lists/partial", "cache/archives/partial", "log"):
            (directory / name).mkdir(parents=True)
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        signed = f"[signed-by={keyring}] " if keyring else ""
        source = f"deb {signed}{self.mirror} {self.suite} {self.wanted.components}\n"
        (directory / "sources.list").write_text(source)
        self._write_status({})
        # Given by -c, hence read after the machine's own settings: its proxy stays, its hooks do not.
        (directory / "apt.conf").write_text(
            f'Dir::State "{directory}"; Dir::State::lists "{directory}/lists";\n'
            f'Dir::State::status "{directory}/status"; Dir::State::extended_states "{directory}/extended";\n'
            f'Dir::Cache "{directory}/cache"; Dir::Cache::archives "{directory}/cache/archives";\n'
            f'Dir::Log "{directory}/log"; Dir::Etc::sourcelist "{directory}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferences "/dev/null";\n'
            'Dir::Etc::preferencesparts "/dev/null";\n'
            'APT::Install-Recommends "0"; APT::Sandbox::User ""; APT::Get::Assume-Yes "1";\n'
            'Acquire::Languages "none"; Acquire::Retries "3"; Debug::NoLocking "1";\n'
            'Acquire::Check-Valid-Until "false";  # a suite in the making expires every week\n'
            "#clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;\n"
        )
        say(f"reading the package lists of Debian {self.suite}")
        self._apt("apt-get", "-q", "update", "--error-on=any")
        missing = [name for name in self.wanted.packages if not self._candidate(name)]
        if missing:
            raise Failed(
                f"Debian {self.suite} does not carry {', '.join(missing)}",
                "name another suite with --suite, or see that apt's mirror is a complete one",
            )
        if self.wanted.same_version:
            follower, leader = self.wanted.same_version
            self._write_status({follower: self.version_of(leader)})

    def version_of(self, package: str) -> str:
        """The version that would be fetched."""
        return self._candidate(package)

    def download(self, packages: Iterable[str]) -> list[Path]:
        """Fetch the closure of `packages`; return the archives."""
        uris = self._apt("apt-get", "-qq", "--print-uris", "install", *packages)
        megabytes = sum(int(line.split()[2]) for line in uris.splitlines() if line.startswith("'")) / 1e6
        archives = self.directory / "cache/archives"
        names = " ".join(name for name in packages if name != "patchelf")
        say(f"downloading {names}: {megabytes:.0f} MB")
        command = [
            "apt-get",
            "-c",
            str(self.directory / "apt.conf"),
            "-q",
            "install",
            "--download-only",
            *packages,
        ]
        with (self.directory / "download.log").open("w+") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_plain_env()
            )
            try:
                while True:
                    try:
                        code = process.wait(PROGRESS_EVERY_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        so_far = (
                            sum(path.stat().st_size for path in archives.rglob("*.deb*") if path.exists())
                            / 1e6
                        )
                        say(f"  {so_far:.0f} of {megabytes:.0f} MB")
            finally:
                if process.poll() is None:
                    process.terminate()
            if code:
                log.seek(0)
                raise _apt_failed(log.read())
        return sorted(archives.glob("*.deb"))

    def _candidate(self, package: str) -> str:
        shown = self._apt("apt-cache", "policy", package)
        found = [line.split(":", 1)[1].strip() for line in shown.splitlines() if "Candidate:" in line]
        return found[0] if found and found[0] != "(none)" else ""

    def _write_status(self, versions: dict[str, str]) -> None:
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
        ).stdout.strip()
        (self.directory / "status").write_text(
            "".join(
                f"Package: {name}\nStatus: install ok installed\nPriority: optional\nMaintainer: none\n"
                f"Architecture: {architecture}\nMulti-Arch: same\nVersion: {versions.get(name, '99:1')}\n"
                "Description: not wanted\n\n"
                for name in self.wanted.unwanted
            )
        )

    def _apt(self, program: str, *arguments: str) -> str:
        command = [program, "-c", str(self.directory / "apt.conf"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_plain_env())
        if done.returncode:
            raise _apt_failed(done.stdout + done.stderr)
        return done.stdout


def unpack(archives: list[Path], root: Path) -> Path:
    """Unpack Debian archives over each other under `root`; return it."""
    root.mkdir(parents=True)
    skip = [f"--exclude={pattern}" for pattern in NOT_UNPACKED]
    say(f"unpacking {len(archives)} packages")
    for archive in archives:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as source:
            tar = subprocess.run(
                ["tar", "-x", "--no-same-owner", "-C", root, *skip],
                stdin=source.stdout, capture_output=True, text=True, check=False,
            )  # fmt: skip
        if tar.returncode or source.returncode:
            raise Failed(
                f"{archive.name} could not be unpacked: {tar.stderr.strip()}", "see that the disk has space"
            )
    return root


def _apt_failed(output: str) -> Failed:
    errors = [line for line in output.splitlines() if line.startswith(("E:", "Err:", "W:"))]
    return Failed(
        f"apt could not fetch the packages: {' | '.join(errors[-2:]) or output.strip()[-300:]}",
        "see that `apt-get update` works on this machine (network, proxy, clock), then run it again",
    )


def _plain_env() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
