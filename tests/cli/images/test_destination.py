"""Destinations of results: names, atomic writes, and nothing overwritten unasked."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images.destination import Destination, DestinationError, Entry, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOB = "job_01JQZX5T9R8F3K2QAB"


def save(
    destination: Destination, content: bytes = b"image", *, index: int = 0, number: int = 1, suffix: str
) -> Path:
    return destination.save(_JOB, "A red fox in snow", Entry(index, number, suffix), [content])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox in snow", "a-red-fox-in-snow-3k2qab"),
        ("", "image-3k2qab"),
        ("../../etc/passwd\x1b[31m", "etc-passwd-31m-3k2qab"),
        (
            "Ein Fuchs im Schnee, gezeichnet wie von Hand und mit Tusche",
            "ein-fuchs-im-schnee-gezeichnet-wie-von-3k2qab",
        ),
        ("x" * 300, f"{'x' * 40}-3k2qab"),
        ("雪の中の狐", "雪の中の狐-3k2qab"),
        ("हिम में लोमड़ी", "हिम-में-लोमड़ी-3k2qab"),
    ],
)
def test_default_name_comes_from_prompt_and_job(prompt: str, name: str) -> None:
    assert name_of("job_01JQZX5T9R8F3K2QAB", prompt) == name


def test_results_without_output_go_to_the_current_folder() -> None:
    destination = Destination.of(None)
    destination.prepare(2)
    paths = [save(destination, bytes([index]), index=index, number=2, suffix=".png") for index in range(2)]
    assert [str(path) for path in paths] == ["a-red-fox-in-snow-3k2qab-1.png", "a-red-fox-in-snow-3k2qab-2.png"]
    assert [path.read_bytes() for path in paths] == [b"\0", b"\1"]


@pytest.mark.parametrize(
    ("output", "content", "path"),
    [
        ("fox.png", ".png", "fox.png"),
        ("fox.png", ".webp", "fox.webp"),
        ("fox.jpeg", ".jpg", "fox.jpeg"),
        ("fox.JPG", ".jpg", "fox.JPG"),
        ("fox", ".png", "fox.png"),
        ("fox.v2", ".png", "fox.v2.png"),
        ("fox.mp4", ".mp4", "fox.mp4"),
        ("fox.mp4", ".mov", "fox.mov"),
    ],
)
def test_suffix_is_that_of_the_content(output: str, content: str, path: str) -> None:
    assert str(save(Destination.of(output), suffix=content)) == path


@pytest.mark.parametrize(
    ("output", "output_format"), [("a.jpg", "jpeg"), ("a.WEBP", "webp"), ("a", None), ("a.mp4", None), (None, None)]
)
def test_suffix_asks_for_an_output_format(output: str | None, output_format: str | None) -> None:
    assert Destination.of(output).output_format == output_format


def test_existing_folder_takes_files(folder: Path) -> None:
    (folder / "out").mkdir()
    assert save(Destination.of("out"), suffix=".png") == Path("out/a-red-fox-in-snow-3k2qab.png")


def test_folder_with_a_slash_is_made(folder: Path) -> None:
    destination = Destination.of("new/deep/")
    destination.prepare(1)
    assert save(destination, suffix=".png").parent == Path("new/deep")


def test_existing_file_is_refused_before_anything_is_paid(folder: Path) -> None:
    (folder / "fox.png").write_bytes(b"mine")
    with pytest.raises(DestinationError, match=r"fox\.png exists"):
        Destination.of("fox.png").prepare(1)
    (folder / "fox-2.png").write_bytes(b"mine")
    with pytest.raises(DestinationError, match=r"fox-2\.png exists"):
        Destination.of("fox.png").prepare(2)
    Destination.of("fox.png", force=True).prepare(1)


def test_file_that_appears_meanwhile_is_kept_and_the_result_gets_a_number(folder: Path) -> None:
    for name in ("fox.png", "fox-2.png"):
        (folder / name).write_bytes(b"mine")
    assert str(save(Destination.of("fox.png"), suffix=".png")) == "fox-3.png"
    assert (folder / "fox.png").read_bytes() == (folder / "fox-2.png").read_bytes() == b"mine"
    assert (folder / "fox-3.png").read_bytes() == b"image"


def test_force_replaces_the_file(folder: Path) -> None:
    (folder / "fox.png").write_bytes(b"old")
    assert str(save(Destination.of("fox.png", force=True), suffix=".png")) == "fox.png"
    assert (folder / "fox.png").read_bytes() == b"image"


def test_broken_download_leaves_nothing(folder: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ECONNRESET, "reset")

    with pytest.raises(OSError, match="reset"):
        Destination.of("fox.png").save(_JOB, "", Entry(0, 1, ".png"), chunks())
    assert list(folder.iterdir()) == []


def test_file_system_without_hard_links_gets_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    (folder / "fox.png").write_bytes(b"mine")
    assert str(save(Destination.of("fox.png"), suffix=".png")) == "fox-2.png"
    assert (folder / "fox.png").read_bytes() == b"mine"


def test_file_has_the_users_permissions() -> None:
    before = os.umask(0o027)
    try:
        assert save(Destination.of("fox.png"), suffix=".png").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


@pytest.mark.parametrize("output", ["missing/fox.png", "/proc/nothing/"])
def test_impossible_folder_is_refused(output: str) -> None:
    with pytest.raises(DestinationError):
        Destination.of(output).prepare(1)
