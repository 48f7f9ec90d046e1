"""Access of this user's programs to the running stack."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from imagegateway.stack.local_access import LocalAccess


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def test_access_is_loaded_as_saved_and_gone_after_its_removal(data_dir: Path) -> None:
    access = LocalAccess("http://127.0.0.1:8080", Path("/run/api.sock"), "igw_secret")
    access.save(data_dir)
    assert LocalAccess.load(data_dir) == access
    LocalAccess.remove(data_dir)
    LocalAccess.remove(data_dir)
    assert LocalAccess.load(data_dir) is None


def test_file_is_readable_by_its_user_alone(data_dir: Path) -> None:
    LocalAccess("http://127.0.0.1:8080", Path("/run/api.sock"), "igw_secret").save(data_dir)
    (file,) = (data_dir / "run").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{", '{"url": "x"}', '{"url": "x", "key": "y", "z": 1}'])
def test_unreadable_file_is_no_access(data_dir: Path, text: str) -> None:
    LocalAccess("http://127.0.0.1:8080", Path("/run/api.sock"), "igw_secret").save(data_dir)
    (file,) = (data_dir / "run").iterdir()
    file.write_text(text)
    assert LocalAccess.load(data_dir) is None
