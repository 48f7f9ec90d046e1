"""Fixtures of tests of the image commands: a fake gateway, and an empty folder for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images import following, results, submission

from tests.support import command, fake_gateway
from tests.support.fake_gateway import KEY, QUEUED, FakeGateway

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """Serve a gateway with a job that is queued, and then completed."""
    with fake_gateway.serving(FakeGateway(life=[QUEUED])) as served:
        yield served


@pytest.fixture
def run(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, which calls the fake gateway, almost without pauses."""
    monkeypatch.setattr(following, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(following, "_LONGEST_PAUSE", 0.001)
    for module in (results, submission):
        monkeypatch.setattr(module, "_PAUSES", (0.001,) * 3)
    return lambda *arguments, **options: command.run(*arguments, url=gateway.url, key=KEY, **options)
