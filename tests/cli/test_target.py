"""The gateway that a command calls: options, then the environment, the login, and this machine's stack."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from imagegateway.cli.errors import CommandError
from imagegateway.cli.login_file import Login
from imagegateway.cli.target import Connection, NoGatewayError, Target, checked_origin
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack.local_access import LocalAccess

LOGIN = Login("https://login.test", "key-of-login")
LOCAL = LocalAccess("http://127.0.0.1:8080", Path("/run/api.sock"), "key-of-stack")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("IMAGEGATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("IMAGEGATEWAY_URL", raising=False)
    monkeypatch.delenv("IMAGEGATEWAY_KEY", raising=False)
    (tmp_path / "run").mkdir()
    return tmp_path


def test_options_come_before_environment_login_and_stack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoGatewayError, match="no gateway runs in"):
        Target.resolve(Connection())
    LOCAL.save(folder)
    assert Target.resolve(Connection()) == Target(LOCAL.url, LOCAL.key, LOCAL.socket)
    assert Target.named(Connection()) is None
    LOGIN.save()
    assert Target.resolve(Connection()) == Target(LOGIN.url, LOGIN.key)
    monkeypatch.setenv("IMAGEGATEWAY_KEY", "key-of-environment")
    assert Target.resolve(Connection()) == Target(LOGIN.url, "key-of-environment")
    monkeypatch.setenv("IMAGEGATEWAY_URL", "https://environment.test")
    assert Target.resolve(Connection()) == Target("https://environment.test", "key-of-environment")
    assert Target.resolve(Connection(url="http://option.test", key="k")) == Target("http://option.test", "k")


def test_origin_of_the_key_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LOCAL.save(folder)
    assert Target.resolve(Connection()).key_from == "the stack on this machine"
    LOGIN.save()
    assert Target.resolve(Connection()).key_from == "the login"
    (folder / "key").write_text("key-of-file\n")
    monkeypatch.setenv("IMAGEGATEWAY_KEY_FILE", str(folder / "key"))
    assert Target.resolve(Connection()) == Target(LOGIN.url, "key-of-file")
    assert Target.resolve(Connection()).key_from == f"IMAGEGATEWAY_KEY_FILE={folder / 'key'}"
    assert Target.resolve(Connection(key="k")).key_from == "--key"


def test_unknown_setting_stops_a_command_of_a_client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LOGIN.save()
    monkeypatch.setenv("IMAGEGATEWAY_KEYFILE", str(folder / "key"))
    with pytest.raises(SettingError, match="IMAGEGATEWAY_KEYFILE: did you mean IMAGEGATEWAY_KEY_FILE"):
        Target.resolve(Connection())


def test_key_belongs_to_the_address_that_it_is_known_for(folder: Path) -> None:
    LOGIN.save()
    LOCAL.save(folder)
    assert Target.resolve(Connection(url=f"{LOGIN.url}/")).key == LOGIN.key
    assert Target.resolve(Connection(url=LOCAL.url)).key == LOCAL.key
    with pytest.raises(CommandError, match=r"a key for https://another\.test is missing"):
        Target.resolve(Connection(url="https://another.test"))


def test_login_is_readable_by_its_user_alone_and_removed_once(folder: Path) -> None:
    LOGIN.save()
    assert Login.load() == LOGIN
    assert Login.path().is_relative_to(folder)
    assert stat.S_IMODE(Login.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(Login.path().parent.stat().st_mode) == 0o700
    assert [path.name for path in Login.path().parent.iterdir()] == ["login.json"]
    assert Login.remove()
    assert not Login.remove()
    assert Login.load() is None


def test_damaged_login_is_named(folder: Path) -> None:
    LOGIN.save()
    Login.path().write_text("{")
    with pytest.raises(CommandError, match="run `imagegateway login` again"):
        Target.resolve(Connection())


@pytest.mark.parametrize(
    "text", ["images.test", "ftp://images.test", "https://", "https://a.test?b", "http://a:b@c", "http://a:99999"]
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="is no address of a gateway"):
        checked_origin(text)


@pytest.mark.parametrize(
    "text", ["https://images.test", "https://images.test/", "https://images.test/v1", "https://images.test/v1/"]
)
def test_address_of_an_sdk_is_accepted(text: str) -> None:
    assert checked_origin(text) == "https://images.test"
