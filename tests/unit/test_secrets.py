from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.secrets import RootSecret
from services.common.settings import SettingError, Settings, Source, load


def settings(data_dir: Path, secret: str = "") -> Settings:
    return load(Source({"IMAGEGATEWAY_DATA_DIR": str(data_dir), "IMAGEGATEWAY_SECRET_KEY": secret}))


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


def test_the_first_start_makes_a_private_file_and_later_ones_read_it(tmp_path: Path) -> None:
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


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from services.common.secrets import RootSecret; from services.common.settings import *; "
        "print(RootSecret.load(load(Source({'IMAGEGATEWAY_DATA_DIR': sys.argv[1]}))).derive('x').hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
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
