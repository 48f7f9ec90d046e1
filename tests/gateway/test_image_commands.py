"""Image commands against the running gateway, from afar by address and key, and in a real terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support import command, pseudo_terminal, terminal_images

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.stack import Stack

    Run = Callable[..., subprocess.CompletedProcess[str]]

_MODEL = "local/sketch"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(stack: Stack) -> Run:
    return lambda *arguments, **options: command.run(*arguments, url=stack.url, key=stack.key, **options)


def opened(name: str) -> Image.Image:
    """Return an image file's image."""
    with Image.open(name) as image:
        image.load()
        return image


def output(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a command that succeeded."""
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_images_are_made_edited_and_saved(run: Run) -> None:
    made = output(run("generate", "a red fox", "-m", _MODEL, "--size", "256x256", "-n", "2", "-o", "fox.png"))
    assert made.split() == ["fox-1.png", "fox-2.png"]
    assert [opened(name).size for name in made.split()] == [(256, 256)] * 2
    Image.new("L", (256, 256), 255).save("mask.png")
    done = run("edit", "fox-1.png", "make it winter", "-m", _MODEL, "--mask", "mask.png", "-o", "winter.webp")
    assert output(done) == "winter.webp"
    assert opened("winter.webp").format == "WEBP"


def test_detached_job_is_found_watched_shown_and_erased(run: Run, folder: Path) -> None:
    job_id = output(run("generate", "a lighthouse", "-m", _MODEL, "--size", "256x256", "--async"))
    assert output(run("jobs", "watch", job_id)) == f"a-lighthouse-{job_id[-6:].lower()}.png"
    assert job_id in output(run("jobs", "list", "--model", _MODEL))
    output(run("jobs", "download", job_id, "--output", "again/"))
    (saved,) = folder.glob("*.png")
    assert (folder / "again" / saved.name).read_bytes() == saved.read_bytes()
    assert "a lighthouse" in output(run("jobs", "show", job_id))
    assert run("jobs", "cancel", job_id).returncode == 1
    output(run("jobs", "erase", job_id, "--yes"))
    assert "a lighthouse" not in output(run("jobs", "show", job_id))
    assert f"the files of job {job_id} are deleted" in run("jobs", "download", job_id).stderr


def test_same_idempotency_key_makes_one_job(run: Run) -> None:
    arguments = (
        "generate",
        "a lighthouse",
        "-m",
        _MODEL,
        "--size",
        "256x256",
        "--idempotency-key",
        "cli-1",
        "--json",
    )
    first, second = (json.loads(output(run(*arguments))) for _ in range(2))
    assert first["id"] == second["id"]
    assert first["files"] != second["files"]


def test_dry_run_makes_no_job(run: Run) -> None:
    plan = json.loads(output(run("generate", "a fox", "-m", _MODEL, "--dry-run", "--json")))
    assert (plan["object"], plan["model"]) == ("plan", _MODEL)


def test_models_are_listed_with_the_ready_one_first(run: Run) -> None:
    assert output(run("models")).splitlines()[1].startswith(_MODEL)
    assert "image_to_image" in output(run("models", _MODEL))
    assert _MODEL not in output(run("models", "flux"))


def test_refusals_are_one_sentence(run: Run) -> None:
    unknown = run("generate", "a fox", "-m", "local/sketchh")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.count("\n") == 1
    assert _MODEL in unknown.stderr
    strict = run("generate", "a fox", "-m", _MODEL, "--style", "no-such-style", "--strict")
    assert strict.returncode == 1
    assert "style" in strict.stderr


def test_wrong_key_is_refused(stack: Stack) -> None:
    done = command.run("jobs", "list", url=stack.url, key="igw_wrong")
    assert done.returncode == 1
    assert "key" in done.stderr


def test_terminal_shows_progress_and_the_images_pixels(stack: Stack) -> None:
    options = ("-m", _MODEL, "--size", "256x128", "-o", "fox.png", "--preview", "kitty")
    arguments = ("generate", "a fox", *options)
    with pseudo_terminal.session(arguments, url=stack.url, key=stack.key, rows=60) as program:
        assert program.wait() == 0, program.output
    shown, _ = terminal_images.kitty(program.output)
    saved = opened("fox.png").convert("RGBA")
    assert shown.size == (256, 128)
    assert shown.tobytes() == saved.tobytes()
    assert "fox.png  256x128" in program.output
    assert _MODEL in program.output
