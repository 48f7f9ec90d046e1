from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import Settings, load

OLD, NEW = "the old root secret", "the new root secret"


def settings(data_dir: Path, secret: str = "", previous: str = "") -> Settings:
    environment = {"DATA_DIR": str(data_dir), "SECRET_KEY": secret, "SECRET_KEY_PREVIOUS": previous}
    return load(Source({f"IMAGEGATEWAY_{name}": value for name, value in environment.items()}))


def test_derive_is_hkdf_sha256_of_secret_and_purpose(tmp_path: Path) -> None:
    root = RootSecret.load(settings(tmp_path, "correct horse battery staple"))
    links = root.derive("links")
    assert links.hex() == "b8fd8341e9bac0bbaba091f1994a4096af84039f5f17bc2018b9f1703ad3d266"
    assert len(links) == 32
    assert root.derive("links") == links
    assert root.derive("encryption") != links


def test_a_set_secret_writes_no_file(tmp_path: Path) -> None:
    RootSecret.load(settings(tmp_path, "x" * 16))
    assert list(tmp_path.iterdir()) == []


def test_a_short_secret_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_SECRET_KEY") as caught:
        RootSecret.load(settings(tmp_path, "fifteen-letters"))
    assert "fifteen" not in str(caught.value)


def test_first_start_creates_a_private_secret_file_and_later_starts_read_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    first = RootSecret.load(settings(data_dir))
    file = data_dir / "secret-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) >= 32
    assert [path.name for path in data_dir.iterdir()] == ["secret-key"]
    assert RootSecret.load(settings(data_dir)).derive("x") == first.derive("x")


def test_the_file_is_flushed_before_and_its_folder_after_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    fsync = os.fsync

    def recording(handle: int) -> None:
        name = Path(f"/proc/self/fd/{handle}").readlink().name
        seen.append((name.partition(".")[0], (tmp_path / "secret-key").exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recording)
    RootSecret.load(settings(tmp_path))
    assert seen == [("secret-key", False), (tmp_path.name, True)]


def test_a_process_that_loses_the_race_takes_the_winners_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = "w" * 43
    hardlink_to = Path.hardlink_to

    def late(self: Path, target: Path) -> None:
        (tmp_path / "secret-key").write_text(winner)
        hardlink_to(self, target)

    monkeypatch.setattr(Path, "hardlink_to", late)
    assert RootSecret.load(settings(tmp_path)).derive("x") == RootSecret(winner).derive("x")
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


@pytest.mark.processes
def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from imagegateway.keys.root_secret import RootSecret; "
        "from imagegateway.platform.settings import *; "
        "print(RootSecret.load(load(Source({'IMAGEGATEWAY_DATA_DIR': sys.argv[1]}))).derive('x').hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate()[0] for process in started}
    assert len(answers) == 1
    assert len(answers.pop().strip()) == 64


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("")
    with pytest.raises(SettingError, match="secret-key"):
        RootSecret.load(settings(tmp_path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret-key").mkdir()
    with pytest.raises(SettingError, match="IMAGEGATEWAY_SECRET_KEY is not set"):
        RootSecret.load(settings(tmp_path))


def test_previous_secrets_are_separated_by_commas_and_the_present_one_counts_once(tmp_path: Path) -> None:
    root = RootSecret.load(settings(tmp_path, NEW, f" {OLD} ,, {'x' * 16},{NEW}"))
    assert root.derive_all("a purpose") == tuple(
        RootSecret(each).derive("a purpose") for each in (NEW, OLD, "x" * 16)
    )
    assert root.derive("a purpose") == RootSecret(NEW).derive("a purpose")


def test_secret_of_the_data_directory_may_follow_a_previous_one(tmp_path: Path) -> None:
    root = RootSecret.load(settings(tmp_path, previous=OLD))
    made = (tmp_path / "secret-key").read_text()
    assert root.derive_all("x") == (RootSecret(made).derive("x"), RootSecret(OLD).derive("x"))


@pytest.mark.parametrize(
    ("secret", "previous", "named"),
    [
        (NEW, "fifteen-letters", "IMAGEGATEWAY_SECRET_KEY_PREVIOUS"),
        (NEW, f"{OLD},fifteen-letters", "IMAGEGATEWAY_SECRET_KEY_PREVIOUS"),
        ("my secret,two words", "", "IMAGEGATEWAY_SECRET_KEY must hold no comma"),
    ],
)
def test_secret_that_can_not_be_rotated_is_refused_without_showing_it(
    tmp_path: Path, secret: str, previous: str, named: str
) -> None:
    with pytest.raises(SettingError, match=named) as caught:
        RootSecret.load(settings(tmp_path, secret, previous))
    for word in ("fifteen", "words", OLD):
        assert word not in str(caught.value)


def test_sealed_value_names_its_key_and_is_read_after_a_rotation() -> None:
    before, after = RootSecret(OLD).sealer("x"), RootSecret(NEW, OLD).sealer("x")
    sealed = before.seal(b"data")
    assert sealed.partition(b".")[0].decode() in RootSecret(OLD).keys("any")
    assert after.open(sealed) == b"data"
    assert (before.is_current(sealed), after.is_current(sealed)) == (True, False)
    fresh = after.seal(b"data")
    assert after.is_current(fresh)
    assert RootSecret(NEW).sealer("x").open(fresh) == b"data"


def test_value_sealed_before_values_named_their_key_is_read_with_any_known_one() -> None:
    old = Fernet(base64.urlsafe_b64encode(RootSecret(OLD).derive("x"))).encrypt(b"data")
    sealer = RootSecret(NEW, OLD).sealer("x")
    assert sealer.open(old) == b"data"
    assert not sealer.is_current(old)


@pytest.mark.parametrize("prefix", [b"", b".", b"00000000.", b"\xff.", None])
def test_sealed_value_of_another_key_or_damaged_is_not_opened(prefix: bytes | None) -> None:
    sealed = RootSecret(OLD).sealer("x").seal(b"data")
    if prefix is not None:
        sealed = prefix + sealed.partition(b".")[2]
    for opener in (RootSecret(NEW).sealer("x"), RootSecret(NEW, OLD).sealer("another purpose")):
        with pytest.raises(InvalidToken):
            opener.open(sealed)
