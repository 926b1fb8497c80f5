"""asterisk/fetch.py where nothing need be downloaded: what it finds, what it refuses, what it leaves behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "asterisk"
sys.path.insert(0, str(SCRIPTS))

import debs  # noqa: E402
import fetch  # noqa: E402

Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script on a PATH that holds nothing else."""
    place = tmp_path / "bin"
    place.mkdir()
    (place / "sh").symlink_to("/bin/sh")
    (place / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(place))

    def put(name: str, script: str) -> Path:
        path = place / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Asterisk 22.10.1~dfsg-1", "22.10.1~dfsg-1"),
        ("Asterisk certified/20.7-cert4", "20.7-cert4"),
        ("Asterisk 18.24.1", None),
        ("something else", None),
    ],
)
def test_an_asterisk_on_the_path_is_used_if_it_is_new_enough(
    program: Program, said: str, version: str | None
) -> None:
    path = program("asterisk", f"echo '{said}'")
    assert fetch.asterisk_on_path() == ((path, version) if version else None)


def test_a_prefix_counts_only_where_and_how_it_was_made(tmp_path: Path) -> None:
    into = tmp_path / "prefix"
    assert not fetch.is_complete(into)
    into.mkdir()
    (into / "needed").touch()
    fetch.write_marker(into, into, "asterisk", "22", ["needed"])
    assert fetch.is_complete(into)
    moved = into.rename(tmp_path / "moved")
    assert not fetch.is_complete(moved), "patched binaries cannot be moved"
    moved.rename(into)
    (into / "needed").unlink()
    assert not fetch.is_complete(into)
    (into / "needed").touch()
    marker = json.loads((into / "installed.json").read_text())
    (into / "installed.json").write_text(json.dumps(marker | {"recipe": fetch.RECIPE - 1}))
    assert not fetch.is_complete(into)
    (into / "installed.json").write_text("{half a mark")
    assert not fetch.is_complete(into)


def test_an_interrupted_run_leaves_nothing_and_is_begun_anew(tmp_path: Path) -> None:
    into = tmp_path / "prefix"
    (tmp_path / ".prefix.12345.part").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fill_half(into)
    assert {path.name for path in tmp_path.iterdir()} == {".prefix.lock"}
    with fetch.fresh_prefix(into) as part:
        assert part
        fetch.write_marker(part, into, "asterisk", "22", [])
    assert fetch.is_complete(into)
    with fetch.fresh_prefix(into) as part:
        assert part is None


def fill_half(into: Path) -> None:
    with fetch.fresh_prefix(into) as part:
        assert part
        (part / "half").touch()
        raise KeyboardInterrupt


def test_the_mirror_is_the_machines_own(program: Program) -> None:
    program("dpkg-deb", "")
    program(
        "apt-get",
        "printf 'http://tools/\\tTools\\tTools\\nhttp://sec/\\tDebian\\tDebian-Security\\n"
        "http://deb/\\tDebian\\tDebian\\nhttp://deb/\\tDebian\\tDebian\\n'",
    )
    assert debs.mirrors() == ["http://deb/"]


def test_a_mirror_is_found_where_apt_was_never_updated(program: Program) -> None:
    program("dpkg-deb", "")
    program(
        "apt-get",
        'case "$*" in *--no-release-info*) '
        "printf 'http://one/\\t$(ORIGIN)\\t$(LABEL)\\nhttp://two/\\t$(ORIGIN)\\t$(LABEL)\\n';; esac",
    )
    assert debs.mirrors() == ["http://one/", "http://two/"]


@pytest.mark.skipif(Path("/usr/sbin/asterisk").exists(), reason="this machine's own Asterisk would be used")
@pytest.mark.parametrize("what", ["asterisk", "voices"])
def test_a_machine_without_apt_is_told_what_to_do(program: Program, tmp_path: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "fetch.py", what, "--into", tmp_path / "x"],
        capture_output=True, text=True, check=False, env={"PATH": str(tmp_path / "bin")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "no apt-get" in done.stderr
    assert "what to do: install Asterisk" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_failing_apt_is_quoted(program: Program, tmp_path: Path) -> None:
    program("dpkg-deb", "")
    program("dpkg", "echo amd64")
    program(
        "apt-get",
        "printf 'http://deb/\\tDebian\\tDebian\\n'; case \"$*\" in *update*) echo 'E: no route' >&2; exit 100;; esac",
    )
    wanted = debs.Wanted(packages=("asterisk",), unwanted=("perl",))
    with pytest.raises(debs.Failed, match="no route") as failed:
        debs.PrivateApt(tmp_path / "apt", "http://deb/", "forky", wanted).update()
    assert "apt-get update" in failed.value.mend
    assert "Package: perl" in (tmp_path / "apt" / "status").read_text()
