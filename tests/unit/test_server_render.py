"""What the templates make of settings, without starting anything."""

import configparser
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from engine.asterisk.modules import MODULES, REQUIRED_MODULES
from engine.asterisk.server import AsteriskSettings, DeskPhone, Trunk, demo_trunk, render
from engine.secrets import load_or_create_secrets

DID = "+74950000112"


@pytest.fixture
def settings(tmp_path: Path) -> AsteriskSettings:
    modules = tmp_path / "prefix" / "modules"
    modules.mkdir(parents=True)
    for name in MODULES[:-1]:
        (modules / f"{name}.so").touch()
    (tmp_path / "prefix" / "share" / "sounds" / "ru_RU_f_Somebody").mkdir(parents=True)
    return AsteriskSettings(
        prefix=tmp_path / "prefix",
        run_dir=tmp_path / "run",
        base_port=21500,
        ari_password="ari-secret",
        ami_password="ami-secret",
        live_dir=tmp_path / "live",
        sounds_dir=tmp_path / "sounds",
        trunks=(demo_trunk(21500),),
        desk_phones=(DeskPhone("operator1", "desk-secret"),),
        fallback_numbers={DID: ("+79000000001", "+79000000002")},
    )


def rendered(settings: AsteriskSettings, name: str) -> str:
    render(settings)
    return (settings.run_dir / "etc" / name).read_text()


def sections(text: str, name: str) -> list[dict[str, str]]:
    """Every [name] section of an Asterisk file, in order (they repeat), without templates."""
    found: list[dict[str, str]] = []
    for block in text.split("\n[")[1:]:
        head, _, body = block.partition("]")
        if head == name:
            parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
            parser.read_string("[it]\n" + body.partition("\n")[2])
            found.append(dict(parser["it"]))
    return found


def test_only_loopback_is_listened_on(settings: AsteriskSettings) -> None:
    render(settings)
    text = "\n".join(path.read_text() for path in (settings.run_dir / "etc").iterdir())
    addresses = [line for line in text.splitlines() if line.startswith(("bind", "bindaddr"))]
    assert addresses
    assert all("127.0.0.1" in line or line.startswith("bindport") for line in addresses)


def test_everything_lies_on_the_base_port(settings: AsteriskSettings) -> None:
    assert "bind = 127.0.0.1:21500" in rendered(settings, "pjsip.conf")
    assert "contact = sip:127.0.0.1:21550" in rendered(settings, "pjsip.conf")
    assert "port = 21501" in rendered(settings, "manager.conf")
    assert "bindport = 21502" in rendered(settings, "http.conf")
    assert "rtpstart = 21600" in rendered(settings, "rtp.conf")


def test_a_second_trunk_is_a_matter_of_configuration(settings: AsteriskSettings) -> None:
    second = Trunk("city", "sip.example.org", 5070, "user", "pass", register=True, max_channels=8)
    text = rendered(replace(settings, trunks=(*settings.trunks, second)), "pjsip.conf")
    kinds = {section["type"]: section for section in sections(text, "city") if "type" in section}
    assert set(kinds) == {"aor", "identify", "auth", "registration"}
    assert kinds["identify"]["match"] == "sip.example.org"
    assert kinds["auth"]["password"] == "pass"
    assert settings.dial_string("+79000000001") == "PJSIP/+79000000001@trunk"
    assert settings.dial_string("112", "city") == "PJSIP/112@city"


def test_residents_have_no_way_out(settings: AsteriskSettings) -> None:
    text = rendered(settings, "hotline.conf")
    incoming = text.split("[incoming]")[1].split("[")[0]
    assert "Dial(" not in text
    assert "include" not in incoming
    assert [
        line for line in rendered(settings, "fallback.conf").splitlines() if "Dial(PJSIP/${NUMBER}" in line
    ]


@pytest.mark.parametrize("number", ["", "+7900&PJSIP/evil", "1,2", "sip:a@b", "${EXTEN}", "+7 900", "0"])
def test_only_a_number_can_be_dialled(settings: AsteriskSettings, number: str) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        settings.dial_string(number)


@pytest.mark.parametrize(
    "change",
    [
        {"run_dir": Path("relative")},
        {"live_dir": Path("/tmp/a,b")},
        {"sounds_dir": Path("/tmp/${EXTEN}")},
        {"ari_password": "short"},
        {"ami_password": "two\r\nlines-of-it"},
        {"fallback_numbers": {DID: ("+7900)Goto(x",)}},
    ],
)
def test_values_that_a_file_could_not_spell_are_refused(
    settings: AsteriskSettings, change: dict[str, object]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        replace(settings, **change)  # type: ignore[arg-type]


def test_a_space_in_a_path_is_nothing_special(settings: AsteriskSettings, tmp_path: Path) -> None:
    roomy = replace(settings, run_dir=tmp_path / "my run", live_dir=tmp_path / "my live")
    assert f"LIVE = {tmp_path}/my live\n" in rendered(roomy, "extensions.conf")


def test_modules_that_are_not_there_are_left_out_unless_needed(settings: AsteriskSettings) -> None:
    text = rendered(settings, "modules.conf")
    assert f"{MODULES[-1]}.so" not in text
    assert all(f"require = {name}.so" in text for name in REQUIRED_MODULES)
    (settings.prefix / "modules" / "chan_pjsip.so").unlink()
    with pytest.raises(FileNotFoundError, match=r"no usable Asterisk .*chan_pjsip.*fetch\.py"):
        render(settings)


def test_no_module_is_named_twice() -> None:
    assert len(MODULES) == len(set(MODULES))
    assert set(MODULES) >= REQUIRED_MODULES


def test_rendering_again_replaces_and_cleans(settings: AsteriskSettings) -> None:
    render(settings)
    etc = settings.run_dir / "etc"
    (etc / "pjsip.conf").write_text("tampered")
    (etc / "forgotten.conf").touch()
    before = {path.name for path in etc.iterdir()} - {"forgotten.conf"}
    render(settings)
    assert {path.name for path in etc.iterdir()} == before
    assert "tampered" not in (etc / "pjsip.conf").read_text()
    assert (settings.run_dir / "data" / "sounds" / "ru").is_dir()


def test_what_holds_passwords_is_for_the_owner_only(settings: AsteriskSettings) -> None:
    render(settings)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (settings.run_dir / "etc").iterdir()}
    assert modes == {0o600}
    assert "secret" not in repr(settings)


def test_secrets_are_made_once_and_completed(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secrets.json"
    first = load_or_create_secrets(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_secrets(path) == first
    more = load_or_create_secrets(path, ("operator1", "operator2"))
    assert more.desk_phones["operator1"] == first.desk_phones["operator1"]
    assert load_or_create_secrets(path) == more
    assert (
        len({first.ari_password, first.ami_password, first.console_secret, *more.desk_phones.values()}) == 5
    )


def test_secrets_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    load_or_create_secrets(path)
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_or_create_secrets(path)
    path.chmod(0o600)
    for damage in ("{", "[]", json.dumps({"ari_password": 7})):
        path.write_text(damage)
        with pytest.raises(ValueError, match="damaged"):
            load_or_create_secrets(path)
