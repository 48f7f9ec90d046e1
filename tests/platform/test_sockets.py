"""Folder of UNIX sockets: short path, inaccessible to other users."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import sockets

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """Return the folder in /tmp for a run folder of 200 bytes. It does not exist."""
    path = sockets.folder(tmp_path / ("d" * 200))
    yield path
    sockets.remove_folder(path)


def test_sockets_are_in_the_run_folder_if_their_paths_fit() -> None:
    assert sockets.folder(Path("/srv/gateway/run")) == Path("/srv/gateway/run")


@pytest.mark.parametrize("length", [84, 200, 4000])
def test_path_of_a_socket_fits_whatever_the_depth_of_the_run_folder(length: int) -> None:
    path = sockets.folder(Path("/" + "d" * length))
    assert path.parent == Path("/tmp")  # noqa: S108
    assert len(os.fsencode(path / "supervisor.sock.4194304")) <= 107


def test_longest_path_of_the_run_folder_is_still_used() -> None:
    longest = Path("/" + "d" * 82)
    assert sockets.folder(longest) == longest


def test_each_run_folder_has_sockets_of_its_own() -> None:
    deep = Path("/" + "d" * 200)
    assert sockets.folder(deep / "a") != sockets.folder(deep / "b")
    assert sockets.folder(deep / "a") == sockets.folder(deep / "a")


def test_bytes_of_a_path_count_not_its_characters() -> None:
    assert sockets.folder(Path("/" + "ä" * 50)) != Path("/" + "ä" * 50)


def test_folder_in_tmp_is_private_to_this_user(shared: Path) -> None:
    sockets.make_folder(shared)
    sockets.make_folder(shared)  # of a stack that was killed
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700


def test_folder_in_tmp_that_others_can_open_is_refused(shared: Path) -> None:
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PermissionError, match=str(shared)):
        sockets.make_folder(shared)


def test_link_in_place_of_the_folder_in_tmp_is_refused(shared: Path, tmp_path: Path) -> None:
    shared.symlink_to(tmp_path)
    try:
        with pytest.raises(PermissionError, match=str(shared)):
            sockets.make_folder(shared)
    finally:
        shared.unlink()


def test_last_socket_takes_its_folder_in_tmp_away(shared: Path) -> None:
    sockets.make_folder(shared)
    (shared / "media.sock").touch()
    (shared / "local.sock").touch()
    sockets.unlink(shared / "media.sock")
    assert shared.exists()
    sockets.unlink(shared / "local.sock")
    assert not shared.exists()


def test_removal_leaves_a_run_folder_in_place(tmp_path: Path, shared: Path) -> None:
    sockets.make_folder(shared)
    (shared / "media.sock").touch()
    sockets.remove_folder(shared)
    sockets.remove_folder(tmp_path)
    assert not shared.exists()
    assert tmp_path.exists()
