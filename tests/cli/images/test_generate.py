"""Command `generate`: request fields, files, cost, and what happens when something fails."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images.destination import Destination
from imagegateway.cli.images.submission import Request

from tests.support import command, fake_gateway
from tests.support.fake_gateway import CANCELLED, FAILED, JOB_ID, KEY

if TYPE_CHECKING:
    from tests.cli.images.conftest import Run
    from tests.support.fake_gateway import FakeGateway

_PATH = "/v1/images/generations"
_NAME = "a-red-fox-6d5e4f"


def test_image_is_saved_under_a_name_by_prompt_and_job(run: Run, gateway: FakeGateway, folder: Path) -> None:
    done = run("generate", "A red fox")
    assert (done.returncode, done.stdout) == (0, f"{_NAME}.png\n"), done.stderr
    assert done.stderr.splitlines() == [
        f"{JOB_ID}: queued",
        f"bfl/flux-2-pro by bfl, 12 s, 0.04 USD (estimate), {JOB_ID}",
    ]
    assert (folder / f"{_NAME}.png").read_bytes() == gateway.files["0.png"]
    (call,) = gateway.calls("POST", _PATH)
    assert call.json() == {"prompt": "A red fox"}
    assert call.headers["prefer"] == "respond-async"


def test_every_option_is_a_field_of_the_request(run: Run, gateway: FakeGateway) -> None:
    options = {
        "model": "openai/gpt-image-2",
        "n": 2,
        "size": "1024x1024",
        "aspect-ratio": "16:9",
        "seed": 7,
        "negative-prompt": "snow",
        "quality": "high",
        "style": "vivid",
        "background": "opaque",
        "format": "webp",
        "compression": 80,
        "complexity": "low",
        "moderation": "low",
        "frame-count": 4,
        "frame-duration-ms": 100,
        "svg-model": "gpt-5",
        "svg-effort": "low",
        "user": "user-1",
        "safety-identifier": "end-user-1",
        "webhook-url": "https://example.com/hook",
        "idempotency-key": "key-1",
    }
    flat = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    loras = ("--lora", "https://example.com/a.safetensors@0.5", "--lora", "owner/fox", "--lora", "a@-1.5")
    pairs = ("--metadata", "project=fox", "--metadata", "a=b=c", "--option", "steps=30", "--option", "mode=fast")
    done = run("generate", *flat, *loras, *pairs, "--strict", "A red fox", "--byok", "fal=secret", "--async")
    assert done.returncode == 0, done.stderr
    (call,) = gateway.calls("POST", _PATH)
    assert call.json() == {
        "prompt": "A red fox",
        "model": "openai/gpt-image-2",
        "n": 2,
        "size": "1024x1024",
        "aspect_ratio": "16:9",
        "seed": 7,
        "negative_prompt": "snow",
        "quality": "high",
        "style": "vivid",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 80,
        "complexity": "low",
        "moderation": "low",
        "frame_count": 4,
        "frame_duration_ms": 100,
        "svg": {"model": "gpt-5", "reasoning": {"effort": "low"}},
        "user": "user-1",
        "safety_identifier": "end-user-1",
        "webhook_url": "https://example.com/hook",
        "loras": [
            {"url": "https://example.com/a.safetensors", "scale": 0.5},
            {"id": "owner/fox"},
            {"id": "a", "scale": -1.5},
        ],
        "metadata": {"project": "fox", "a": "b=c"},
        "provider_options": {"steps": 30, "mode": "fast"},
    }
    assert call.headers["x-byok-fal"] == "secret"
    assert call.headers["prefer"] == "respond-async, handling=strict"
    assert call.headers["idempotency-key"] == "key-1"


def test_provider_keys_come_from_the_environment(run: Run, gateway: FakeGateway) -> None:
    run("generate", "A red fox", "--async", byok="fal=one replicate=two")
    (call,) = gateway.calls("POST", _PATH)
    assert (call.headers["x-byok-fal"], call.headers["x-byok-replicate"]) == ("one", "two")


def test_prompt_comes_from_standard_input(run: Run, gateway: FakeGateway) -> None:
    run("generate", "-", "--async", standard_input="A red fox\nin snow\n")
    assert gateway.calls("POST", _PATH)[0].json()["prompt"] == "A red fox\nin snow"


def test_async_prints_the_job_and_does_not_wait(run: Run, gateway: FakeGateway, folder: Path) -> None:
    done = run("generate", "A red fox", "--async")
    assert (done.returncode, done.stdout) == (0, f"{JOB_ID}\n")
    assert len(gateway.received) == 1
    assert list(folder.iterdir()) == []


def test_several_images_are_numbered(run: Run, gateway: FakeGateway, folder: Path) -> None:
    gateway.files = {f"{index}.png": fake_gateway.png(8 + index) for index in range(3)}
    done = run("generate", "A red fox", "-n", "3", "--output", "fox.png")
    assert done.stdout.split() == ["fox-1.png", "fox-2.png", "fox-3.png"]
    assert [(folder / name).read_bytes() for name in done.stdout.split()] == list(gateway.files.values())


def test_suffix_of_the_output_asks_for_its_format_and_the_content_decides(run: Run, gateway: FakeGateway) -> None:
    done = run("generate", "A red fox", "--output", "fox.webp")
    assert gateway.calls("POST", _PATH)[0].json()["output_format"] == "webp"
    assert done.stdout == "fox.png\n"


def test_format_wins_over_the_suffix(run: Run, gateway: FakeGateway) -> None:
    run("generate", "A red fox", "--output", "fox.webp", "--format", "png")
    assert gateway.calls("POST", _PATH)[0].json()["output_format"] == "png"


def test_existing_file_is_refused_before_the_request(run: Run, gateway: FakeGateway) -> None:
    Path("fox.png").write_bytes(b"mine")
    done = run("generate", "A red fox", "--output", "fox.png")
    assert done.returncode == 2
    assert "fox.png exists: choose another name, or overwrite it with --force" in done.stderr
    assert gateway.received == []
    assert run("generate", "A red fox", "--output", "fox.png", "--force").returncode == 0
    assert Path("fox.png").read_bytes() == gateway.files["0.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unknown"], "there is no option --unknown"),
        (["fox", "--unknown"], "--unknown"),
        (["fox", "--seed", "x"], "--seed"),
        ([" "], "the prompt is empty"),
        (["fox", "--metadata", "novalue"], "--metadata takes NAME=VALUE"),
        (["fox", "--byok", "secret"], "--byok takes ROUTE=KEY"),
        (["fox", "--byok", "fal=se\ncret"], "--byok takes ROUTE=KEY"),
        (["fox", "--output", "missing/fox.png"], "there is no folder missing"),
        (["fox", "--output", "-", "-n", "2"], "--output - takes one result"),
        (["fox", "--output", "-", "--json"], "both write to standard output"),
        (["fox", "--preview", "paper"], "--preview"),
        ([], "PROMPT"),
    ],
)
def test_wrong_use_is_refused_without_a_request(
    run: Run, gateway: FakeGateway, arguments: list[str], message: str
) -> None:
    done = run("generate", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "cret" not in done.stderr
    assert gateway.received == []


def test_dry_run_shows_the_plan_and_its_cost(run: Run, gateway: FakeGateway) -> None:
    done = run("generate", "A red fox", "--dry-run", "--output", "missing/fox.png")
    assert (done.returncode, done.stderr) == (0, "warning: The size is 1024x1024.\n")
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()] == [
        ["model", "bfl/flux-2-pro"],
        ["provider", "bfl"],
        ["size", "1024x1024"],
        ["number", "2"],
        ["cost", "0.08 USD (estimate)"],
    ]
    assert [call.headers["prefer"] for call in gateway.received] == ["dry-run"]
    assert json.loads(run("generate", "A red fox", "--dry-run", "--json").stdout)["object"] == "plan"


def test_json_is_the_job_with_its_files(run: Run) -> None:
    document = json.loads(run("generate", "A red fox", "--json").stdout)
    assert (document["id"], document["status"], document["files"]) == (JOB_ID, "completed", [f"{_NAME}.png"])


def test_warnings_go_to_standard_error_with_control_characters_escaped(run: Run, gateway: FakeGateway) -> None:
    gateway.facts = {"warnings": [{"code": "size_adjusted", "message": "The size is \x1b[31mred."}]}
    done = run("generate", "A red fox")
    assert "warning: The size is \\x1b[31mred.\n" in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (FAILED, f"imagegateway: The provider is unreachable. ({JOB_ID})"),
        (CANCELLED, f"imagegateway: job {JOB_ID} is cancelled: it has no files"),
        ({"status": "completed"}, f"imagegateway: the files of job {JOB_ID} are deleted"),
    ],
    ids=["failed", "cancelled", "expired"],
)
def test_job_without_files_is_an_error(run: Run, gateway: FakeGateway, end: dict[str, str], message: str) -> None:
    gateway.end = end
    done = run("generate", "A red fox")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == message
    gateway.at = 0
    done = run("generate", "A red fox", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout).items() >= {"status": end["status"], "files": []}.items()


def test_refusal_is_one_sentence(run: Run, gateway: FakeGateway) -> None:
    gateway.refusal = (402, {"message": "The budget is used up.", "code": "budget_exceeded"})
    done = run("generate", "A red fox")
    assert (done.returncode, done.stderr) == (1, "imagegateway: The budget is used up.\n")


def test_lost_answer_makes_no_second_job(run: Run, gateway: FakeGateway) -> None:
    gateway.lost_answers = 1
    done = run("generate", "A red fox")
    assert done.returncode == 0, done.stderr
    assert len(gateway.calls("POST", _PATH)) == 2
    assert len(gateway.keys) == 1


def test_gateway_that_is_not_there_is_reported_at_once(run: Run, gateway: FakeGateway) -> None:
    with fake_gateway.serving(fake_gateway.FakeGateway()) as other:
        pass
    gateway.url = other.url
    done = run("generate", "A red fox")
    assert done.returncode == 1
    assert done.stderr.startswith(f"imagegateway: the gateway at {other.url} can't be reached")


def test_broken_download_is_repeated(run: Run, gateway: FakeGateway, folder: Path) -> None:
    gateway.cut_downloads = 1
    done = run("generate", "A red fox", "--output", "fox.png")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["fox.png"]
    assert Path("fox.png").read_bytes() == gateway.files["0.png"]


def test_full_disk_names_the_way_back_to_the_job(
    run: Run, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Destination, "save", full)
    done = run("generate", "A red fox")
    assert done.returncode == 1
    assert f"No space left on device; the gateway keeps it: `imagegateway jobs download {JOB_ID}" in done.stderr


@pytest.mark.processes
def test_pipe_gets_the_bytes_alone(gateway: FakeGateway, folder: Path) -> None:
    gateway.cut_downloads = 1
    done = subprocess.run(
        [command.PROGRAM, "generate", "-", "--output", "-"],
        env=command.environment(url=gateway.url, key=KEY),
        input=b"A red fox",
        capture_output=True,
        check=True,
    )
    assert done.stdout == gateway.files["0.png"]
    assert JOB_ID.encode() in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_before_the_answer_hints_at_the_list_of_jobs(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    monkeypatch.setattr(Request, "submit", lambda *_arguments: signal.raise_signal(number))
    done = run("generate", "A red fox")
    assert (done.returncode, done.stdout) == (status, "")
    assert "The request may have reached the gateway: `imagegateway jobs list` shows its job." in done.stderr


def test_signal_during_the_download_names_the_command_that_saves_the_files(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Destination, "save", lambda *_arguments: signal.raise_signal(signal.SIGINT))
    done = run("generate", "A red fox", "--output", "fox.png")
    assert done.returncode == 130
    assert done.stderr.splitlines()[-2:] == [
        f"The files of job {JOB_ID} are kept:",
        f"  imagegateway jobs watch {JOB_ID} --output fox.png",
    ]


def test_download_that_stays_broken_names_the_command_that_saves_the_files(
    run: Run, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    gateway.cut_downloads = 100
    monkeypatch.setattr("imagegateway.cli.images.results._PAUSES", (0.0, 0.0))
    done = run("generate", "A red fox")
    assert done.returncode == 1
    assert done.stderr.endswith(f"; the files of job {JOB_ID} are kept: `imagegateway jobs watch {JOB_ID}`\n")
    assert list(folder.iterdir()) == []


def test_key_is_never_printed(run: Run) -> None:
    done = run("generate", "A red fox", "--byok", "fal=provider-secret", "--json")
    assert KEY not in done.stdout + done.stderr
    assert "provider-secret" not in done.stdout + done.stderr
