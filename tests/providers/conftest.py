"""Fixtures that several files of a family's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS

from tests.emulators.openai import OpenAI
from tests.providers.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def openai() -> AsyncIterator[OpenAI]:
    """The emulator of OpenAI's API."""
    async with OpenAI() as emulator:
        assert isinstance(emulator, OpenAI)
        yield emulator


@pytest.fixture
async def openai_bench(openai: OpenAI, tmp_path: Path) -> AsyncIterator[Bench]:
    """The openai family, which calls the emulator."""
    values = {"IMAGEGATEWAY_OPENAI_BASE_URL": openai.base, "IMAGEGATEWAY_OPENAI_API_KEY": openai.key}
    bench = Bench.open(MODELS, [OpenAIAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()
