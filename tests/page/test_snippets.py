"""The snippets of the page: each one runs, in its language, against the stack."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.gateway import rest
from tests.gateway.inputs import image_bytes, mask
from tests.support import node, programs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack

RENDER: Final = Path(__file__).parent / "modules" / "render_snippets.mjs"
LANGUAGES: Final = ("curl", "python", "node", "grpc")
SECONDS: Final = 60.0
BYOK: Final = "fal"
"""Route of the caller's provider key."""
_URL: Final = re.compile(r"http://[^\s\"]+/media/[^\s\"]+")


@dataclass(frozen=True)
class Snippet:
    """A call of the page, and the job that it must make."""

    call: Mapping[str, Any]
    type: str
    artifacts: int = 1
    request: Mapping[str, Any] = field(default_factory=dict)
    """Part of the job's request."""


PROMPT: Final = 'it\'s a "red" house, 50 % of $HOME\n— with \\ and ünïcode'
CASES: Final = {
    "inline": Snippet(
        {
            "operation": "generations",
            "fields": {
                "model": "local/sketch",
                "prompt": PROMPT,
                "n": 2,
                "size": "256x256",
                "seed": 7,
                "negative_prompt": "rain",
                "metadata": {"team": "red"},
            },
        },
        "image.generation",
        artifacts=2,
        request={"prompt": PROMPT, "n": 2, "size": "256x256", "seed": 7, "negative_prompt": "rain"},
    ),
    "slow": Snippet(
        {"operation": "generations", "fields": {"model": "bfl/flux-2-pro", "prompt": "a lake"}, "slow": True},
        "image.generation",
        request={"prompt": "a lake"},
    ),
    "edit": Snippet(
        {
            "operation": "edits",
            "fields": {
                "model": "openai/gpt-image-2",
                "prompt": "@home; it's",
                "quality": "low",
                "metadata": {"a": "b"},
            },
            "images": 2,
            "mask": True,
        },
        "image.edit",
        request={"prompt": "@home; it's", "quality": "low"},
    ),
    "edit without prompt": Snippet(
        {"operation": "edits", "fields": {"model": "bria/remove-background"}, "images": 1},
        "image.edit",
    ),
    "video": Snippet(
        {
            "operation": "generations",
            "fields": {"model": "google/veo-3.1-fast", "prompt": "waves", "seconds": 4},
            "slow": True,
            "video": True,
        },
        "video.generation",
        request={"prompt": "waves", "seconds": 4},
    ),
    "lora": Snippet(
        {
            "operation": "generations",
            "fields": {
                "model": "stability-ai/sdxl",
                "prompt": "a fox",
                "loras": [{"url": "https://huggingface.co/someone/fox/resolve/main/fox.safetensors", "scale": 0.5}],
            },
            "slow": True,
            "byok": BYOK,
        },
        "image.generation",
        request={"prompt": "a fox"},
    ),
}


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return node.environment()


@pytest.fixture(scope="module")
def rendered(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the source code by case and language."""
    calls = {"origin": stack.url, "calls": [case.call for case in CASES.values()]}
    done = subprocess.run(
        [programs.NODE_BIN / "node", RENDER],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@dataclass(frozen=True)
class Terminal:
    """Terminal into which a user of the page pastes a snippet."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, language: str, code: str) -> str:
        """Return the snippet's output."""
        done = subprocess.run(
            self._command(language, code),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _command(self, language: str, code: str) -> list[str]:
        match language:
            case "curl":
                return ["bash", "-c", f"{code} --fail-with-body --silent --show-error"]
            case "node":
                (self.folder / "snippet.mjs").write_text(code)
                return [str(programs.NODE_BIN / "node"), "snippet.mjs"]
            case _:
                return [sys.executable, "-c", code]


@pytest.fixture
def terminal(tmp_path: Path, environment: dict[str, str], caller: Caller, providers: Providers) -> Terminal:
    """Return a terminal with the keys and files that the snippets name."""
    (tmp_path / "input.png").write_bytes(image_bytes(1024, 1024))
    (tmp_path / "input-2.png").write_bytes(image_bytes(1024, 1024, colour="#a53a3a"))
    (tmp_path / "mask.png").write_bytes(mask(1024, 1024))
    (tmp_path / "node_modules").symlink_to(node.FOLDER / "node_modules")
    keys = {"IMAGEGATEWAY_KEY": caller.key, "PROVIDER_KEY": providers[BYOK].key}
    return Terminal(tmp_path, {**environment, **keys})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_snippet_makes_the_call_that_it_shows(
    case: str, language: str, rendered: dict[str, dict[str, str]], terminal: Terminal, caller: Caller
) -> None:
    expected = CASES[case]
    output = terminal.run(language, rendered[case][language])
    urls = _URL.findall(output)
    assert len(urls) == expected.artifacts, output
    for url in urls:
        assert caller.ask("GET", rest.link(caller.stack, url)).body
    job = caller.ask("GET", "/v1/jobs?page_size=1").json()["data"][0]
    assert (job["model"], job["type"]) == (expected.call["fields"]["model"], expected.type)
    assert {**job["request"], **expected.request} == job["request"]
