"""Data directory at the start: inaccessible to other users of the machine."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from imagegateway.stack.errors import StackError
from imagegateway.stack.preflight import make_private

if TYPE_CHECKING:
    from pathlib import Path


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_new_data_directory_is_this_users_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "new" / "data")
    assert mode(tmp_path / "new" / "data") == 0o700


@pytest.mark.parametrize("names", [(), ("lock", "secret-key"), ("lost+found",)])
def test_open_data_directory_is_closed(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for name in names:
        (folder / name).touch()
    make_private(folder)
    assert mode(folder) == 0o700


def test_open_directory_of_another_owner_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    folder = tmp_path / "volume"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(type(folder), "chmod", refuse)
    make_private(folder)
    assert mode(folder) == 0o755


def test_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StackError, match="IMAGEGATEWAY_DATA_DIR"):
        make_private(tmp_path / "data")
