"""Secrets in files: the start, rotation, files that vanish, and no value in any message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import secret_files
from imagegateway.platform.secret import Secret
from imagegateway.platform.secret_files import SecretWatch
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load
from imagegateway.platform.supervision import cancel
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from pathlib import Path

SETTING = "IMAGEGATEWAY_FAL_API_KEY_FILE"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fal"
    path.write_text("first\n")
    return path


def source_of(file: Path, **more: str) -> Source:
    return Source({SETTING: str(file), **{f"IMAGEGATEWAY_{name}": value for name, value in more.items()}})


def test_file_holds_the_secret_without_its_line_end(file: Path) -> None:
    assert source_of(file).secret("FAL_API_KEY").reveal() == "first"
    assert source_of(file).watched_secret("FAL_API_KEY").reveal() == "first"
    assert source_of(file).origin("FAL_API_KEY") == f"{SETTING}={file}"
    assert Source({"IMAGEGATEWAY_FAL_API_KEY": "k"}).origin("FAL_API_KEY") == "IMAGEGATEWAY_FAL_API_KEY"
    assert Source({}).origin("FAL_API_KEY") == ""


@pytest.mark.parametrize("name", ["API_KEY", "SECRET_KEY", "SECRET_KEY_PREVIOUS", "NATS_URL"])
def test_every_secret_of_the_gateway_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret"
    path.write_text("nats://a-secret-of-20-characters.example\n")
    found = getattr(load(Source({f"IMAGEGATEWAY_{name}_FILE": str(path)})), name.lower())
    assert isinstance(found, Secret)
    assert found.reveal() == "nats://a-secret-of-20-characters.example"
    assert "secret-of" not in repr(found)


def test_value_and_file_together_stop_the_start(file: Path) -> None:
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_FAL_API_KEY and {SETTING} are both set") as caught:
        source_of(file, FAL_API_KEY="other").secret("FAL_API_KEY")
    assert "other" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read (No such file"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 65_537, "larger"),
    ],
)
def test_file_without_a_secret_stops_the_start(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "fal"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError) as caught:
        source_of(path).watched_secret("FAL_API_KEY")
    assert str(caught.value).startswith(f"{SETTING}: {path} ")
    assert words in str(caught.value)


def test_value_of_wrong_form_stops_the_start_without_being_shown(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("short")
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_API_KEY_FILE: {path} must have at least 20") as caught:
        load(Source({"IMAGEGATEWAY_API_KEY_FILE": str(path)}))
    assert "short" not in str(caught.value)


def test_rotated_secret_is_in_force_and_those_that_hold_its_earlier_value_keep_it(file: Path) -> None:
    source = source_of(file)
    held, fixed = source.watched_secret("FAL_API_KEY").reveal(), source.secret("FAL_API_KEY")
    file.write_text("second")
    with capture_logs() as lines:
        SecretWatch(source.secret_files).reload()
    assert source.watched_secret("FAL_API_KEY").reveal() == "second"
    assert held == fixed.reveal() == "first"
    assert [(line["event"], line["setting"]) for line in lines] == [("secret_reloaded", SETTING)]
    assert "second" not in str(lines)


def test_swapped_symbolic_link_of_kubernetes_is_followed(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "fal").write_text(version)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "fal").symlink_to("..data/fal")
    source = source_of(tmp_path / "fal")
    secret = source.watched_secret("FAL_API_KEY")
    assert secret.reveal() == "one"
    (tmp_path / "..tmp").symlink_to("two")
    (tmp_path / "..tmp").replace(tmp_path / "..data")  # as the kubelet does
    SecretWatch(source.secret_files).reload()
    assert secret.reveal() == "two"


@pytest.mark.parametrize("spoil", ["unlink", "empty", "folder"])
def test_file_that_becomes_unreadable_keeps_the_secret_and_is_logged_once(file: Path, spoil: str) -> None:
    source = source_of(file)
    secret, watch = source.watched_secret("FAL_API_KEY"), SecretWatch(source.secret_files)
    file.unlink()
    if spoil == "empty":
        file.write_text("")
    elif spoil == "folder":
        file.mkdir()
    with capture_logs() as lines:
        watch.reload()
        watch.reload()
        assert secret.reveal() == "first"
        if spoil == "folder":
            file.rmdir()
        file.write_text("second")
        watch.reload()
        assert secret.reveal() == "second"
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("secret_file_unreadable", "error"),
        ("secret_reloaded", "info"),
    ]


async def test_files_are_read_again_while_the_watch_follows(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reloaded = asyncio.Event()
    monkeypatch.setattr(secret_files, "RELOAD_SECONDS", 0.0)
    watch, loop = SecretWatch(source_of(file).secret_files), asyncio.get_running_loop()
    monkeypatch.setattr(watch, "reload", lambda: loop.call_soon_threadsafe(reloaded.set))
    task = asyncio.create_task(watch.follow())
    async with asyncio.timeout(10):
        await reloaded.wait()
    await cancel(task)
