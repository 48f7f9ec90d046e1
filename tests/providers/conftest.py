"""Fixtures that several files of a family's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.providers.bria.adapter import BriaAdapter
from imagegateway.providers.bria.catalog import MODELS as BRIA_MODELS
from imagegateway.providers.bria.fal import BriaFalAdapter
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS as GOOGLE_MODELS
from imagegateway.providers.ideogram.adapter import IdeogramAdapter
from imagegateway.providers.ideogram.catalog import MODELS as IDEOGRAM_MODELS
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS as OPENAI_MODELS

from tests.emulators.bria import Bria
from tests.emulators.google import Google
from tests.emulators.ideogram import Ideogram
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
    bench = Bench.open(OPENAI_MODELS, [OpenAIAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


@pytest.fixture
async def bria() -> AsyncIterator[Bria]:
    """The emulator of Bria's API."""
    async with Bria() as emulator:
        assert isinstance(emulator, Bria)
        yield emulator


@pytest.fixture
async def bria_bench(bria: Bria, tmp_path: Path) -> AsyncIterator[Bench]:
    """The bria family, which calls the emulator."""
    values = {"IMAGEGATEWAY_BRIA_BASE_URL": bria.base, "IMAGEGATEWAY_BRIA_API_KEY": bria.key}
    bench = Bench.open(BRIA_MODELS, [BriaAdapter(), BriaFalAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """The emulator of Google's API."""
    async with Google() as emulator:
        assert isinstance(emulator, Google)
        yield emulator


@pytest.fixture
async def google_bench(google: Google, tmp_path: Path) -> AsyncIterator[Bench]:
    """The google family, which calls the emulator."""
    values = {"IMAGEGATEWAY_GOOGLE_BASE_URL": google.base, "IMAGEGATEWAY_GOOGLE_API_KEY": google.key}
    bench = Bench.open(GOOGLE_MODELS, [GoogleAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()


@pytest.fixture
async def ideogram() -> AsyncIterator[Ideogram]:
    """The emulator of Ideogram's API."""
    async with Ideogram() as emulator:
        assert isinstance(emulator, Ideogram)
        yield emulator


@pytest.fixture
async def ideogram_bench(ideogram: Ideogram, tmp_path: Path) -> AsyncIterator[Bench]:
    """The ideogram family, which calls the emulator."""
    values = {"IMAGEGATEWAY_IDEOGRAM_BASE_URL": ideogram.base, "IMAGEGATEWAY_IDEOGRAM_API_KEY": ideogram.key}
    bench = Bench.open(IDEOGRAM_MODELS, [IdeogramAdapter()], tmp_path, values)
    yield bench
    await bench.family.close()
