"""The data directory at the start: closed to other users of the machine, or refused."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from services.stack.up import StackError, make_private

if TYPE_CHECKING:
    from pathlib import Path


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_new_data_directory_is_this_users_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "new" / "data")
    assert mode(tmp_path / "new" / "data") == 0o700


@pytest.mark.parametrize("names", [(), ("lock", "secret-key"), ("gateway-id", "media")])
def test_open_data_directory_is_closed(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for name in names:
        (folder / name).touch()
    make_private(folder)
    assert mode(folder) == 0o700


def test_open_directory_with_other_things_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "letters").mkdir()
    with pytest.raises(StackError, match=r"mode 0755.*IMAGEGATEWAY_DATA_DIR"):
        make_private(folder)
    assert mode(folder) == 0o755


def test_closed_directory_is_taken_whatever_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (folder / "letters").mkdir()
    make_private(folder)


def test_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StackError, match="IMAGEGATEWAY_DATA_DIR"):
        make_private(tmp_path / "data")
