"""Commands `edit` and `video`: input images, prompts and fields."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images import arguments

from tests.support.fake_gateway import JOB_ID, png

if TYPE_CHECKING:
    from tests.cli.images.conftest import Run
    from tests.support.fake_gateway import FakeGateway

_PATH = "/v1/images/edits"


@pytest.fixture(autouse=True)
def inputs(folder: Path) -> None:
    for name in ("fox.png", "snow.jpg", "mask.png", "notes"):
        (folder / name).write_bytes(png() + name.encode())


def form(gateway: FakeGateway) -> list[tuple[str, str | None, bytes]]:
    (call,) = gateway.calls("POST", _PATH)
    return call.form()


def test_files_prompt_mask_and_fields_are_a_form(run: Run, gateway: FakeGateway) -> None:
    done = run(
        *("edit", "fox.png", "snow.jpg", "make it winter", "--mask", "mask.png", "-m", "bfl/flux-2-pro", "-n", "2"),
        *("--metadata", "a=b", "--option", "strength=0.6", "--input-fidelity", "high", "--async"),
    )
    assert done.returncode == 0, done.stderr
    fields = form(gateway)
    assert [(name, text.decode()) for name, filename, text in fields if filename is None] == [
        ("model", "bfl/flux-2-pro"),
        ("n", "2"),
        ("input_fidelity", "high"),
        ("metadata", '{"a": "b"}'),
        ("provider_options", '{"strength": 0.6}'),
        ("prompt", "make it winter"),
    ]
    assert [(name, filename, content[-8:]) for name, filename, content in fields if filename is not None] == [
        ("image[]", "fox.png", b"\x82fox.png"[-8:]),
        ("image[]", "snow.jpg", b"snow.jpg"),
        ("mask", "mask.png", b"mask.png"),
    ]


def test_result_is_saved(run: Run, gateway: FakeGateway) -> None:
    done = run("edit", "fox.png", "make it winter", "--output", "winter.png")
    assert (done.returncode, done.stdout) == (0, "winter.png\n"), done.stderr
    assert Path("winter.png").read_bytes() == gateway.files["0.png"]
    assert ("output_format", None, b"png") in form(gateway)


def test_lost_answer_sends_the_files_again(run: Run, gateway: FakeGateway) -> None:
    gateway.lost_answers = 1
    assert run("edit", "fox.png", "make it winter", "--async").returncode == 0
    first, second = (call.form() for call in gateway.calls("POST", _PATH))
    assert first == second
    assert len(gateway.keys) == 1


def test_eraser_needs_no_prompt(run: Run, gateway: FakeGateway) -> None:
    run("edit", "fox.png", "--mask", "mask.png", "-m", "bria/eraser", "--async")
    assert [name for name, *_ in form(gateway)] == ["model", "image[]", "mask"]


def test_urls_are_fields(run: Run, gateway: FakeGateway) -> None:
    url = "https://example.com/fox"
    run("edit", "fox.png", url, "winter", "--mask", f"{url}-mask", "--markup", f"{url}-markup", "--async")
    fields = {name: content.decode() for name, filename, content in form(gateway) if filename is None}
    assert fields == {
        "images": f'["{url}"]',
        "mask_url": f"{url}-mask",
        "markup_url": f"{url}-markup",
        "prompt": "winter",
    }


def test_image_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("fox.png").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        inputs = arguments.read_inputs(["-", "make it winter"])
    assert inputs.files == [("image[]", ("stdin", Path("fox.png").read_bytes()))]
    assert inputs.prompt == "make it winter"


def test_file_over_the_limit_is_not_sent(run: Run, gateway: FakeGateway) -> None:
    with Path("large.png").open("wb") as file:
        file.truncate(26_214_401)
    done = run("edit", "large.png", "winter")
    assert (done.returncode, gateway.received) == (2, [])
    assert "large.png is over 26214400 bytes (25 MiB)" in done.stderr


@pytest.mark.parametrize(
    ("texts", "prompt"),
    [
        (["fox.png", "winter"], "winter"),
        (["fox.png", "snow.jpg"], None),
        (["fox.png", "notes"], None),
        (["notes", "winter"], "winter"),
        (["fox.png", "a" * 5000], "a" * 5000),
    ],
)
def test_last_argument_is_the_prompt_unless_it_is_an_image(texts: list[str], prompt: str | None) -> None:
    assert arguments.read_inputs(texts).prompt == prompt


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "name an image to edit"),
        (["fox.png", "snow.jpeg"], "snow.jpeg: No such file"),
        (["missing", "winter"], "missing: No such file"),
        (["https://example.com/a", "fox.png", "winter"], "name files before URLs"),
        (["-", "-"], "standard input holds one image or the prompt"),
        (["fox.png", "winter", "--masc", "mask.png"], "there is no option --masc"),
        (["fox.png", "winter", "--mask", "missing.png"], "missing.png: No such file"),
        (["fox.png", ""], "the prompt is empty"),
    ],
)
def test_wrong_use_is_refused_without_a_request(
    run: Run, gateway: FakeGateway, texts: list[str], message: str
) -> None:
    done = run("edit", *texts)
    assert done.returncode == 2
    assert message in done.stderr
    assert gateway.received == []


def test_video_has_length_and_frame_rate(run: Run, gateway: FakeGateway) -> None:
    gateway.files = {"0.mp4": b"video"}
    gateway.facts = {"modality": "video", "type": "video.generation"}
    done = run("video", "a fox runs", "--seconds", "6", "--fps", "24", "-m", "google/veo-3.1-fast", "-o", "fox.mp4")
    assert (done.returncode, done.stdout) == (0, "fox.mp4\n"), done.stderr
    (call,) = gateway.calls("POST", "/v1/videos/generations")
    assert call.json() == {"model": "google/veo-3.1-fast", "seconds": 6.0, "fps": 24, "prompt": "a fox runs"}
    assert Path("fox.mp4").read_bytes() == b"video"
    assert JOB_ID in done.stderr
