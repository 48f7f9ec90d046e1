"""`imagegateway run`: what a part requires before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import command

if TYPE_CHECKING:
    from pathlib import Path

    Given = dict[str, str]


@pytest.mark.parametrize(
    ("part", "given", "missing"),
    [
        ("router", {}, "IMAGEGATEWAY_NATS_URL, IMAGEGATEWAY_MEDIA_URL, IMAGEGATEWAY_SECRET_KEY"),
        ("router", {"nats_url": "nats://a", "media_url": "file:///a"}, "IMAGEGATEWAY_SECRET_KEY"),
        ("media", {"secret_key": "0123456789abcdef"}, "IMAGEGATEWAY_MEDIA_URL"),
        ("providers", {}, "IMAGEGATEWAY_MEDIA_URL"),
    ],
)
def test_missing_settings_are_named(tmp_path: Path, part: str, given: Given, missing: str) -> None:
    done = command.run("run", part, data_dir=str(tmp_path / "data"), **given)
    assert done.returncode == 1
    assert done.stderr.startswith(f"imagegateway: {missing} must be set")
    assert not (tmp_path / "data").exists()


def test_root_secret_in_the_data_directory_is_enough(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("0123456789abcdef")
    done = command.run("run", "media", data_dir=str(tmp_path))
    assert done.stderr.startswith("imagegateway: IMAGEGATEWAY_MEDIA_URL must be set")


def test_unknown_family_is_named_with_the_known_ones(tmp_path: Path) -> None:
    done = command.run("run", "providers", "openai", "midjourney", data_dir=str(tmp_path), media_url="file:///a")
    assert done.returncode == 1
    assert done.stderr.startswith("imagegateway: unknown family midjourney; choose from local, bfl")


def test_part_whose_port_is_plain_and_reachable_does_not_start(tmp_path: Path) -> None:
    given = {"media_url": "file:///a", "providers_listen": "tcp://0.0.0.0:7000"}
    done = command.run("run", "providers", data_dir=str(tmp_path / "data"), **given)
    assert done.returncode == 1
    assert "IMAGEGATEWAY_INTERNAL_TLS_CERT" in done.stderr
