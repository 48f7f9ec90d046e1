"""Fixtures that several files of a family's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.providers.bria.adapter import BriaAdapter
from imagegateway.providers.bria.catalog import MODELS as BRIA_MODELS
from imagegateway.providers.bria.fal import BriaFalAdapter
from imagegateway.providers.bytedance.adapter import BytedanceAdapter
from imagegateway.providers.bytedance.catalog import MODELS as BYTEDANCE_MODELS
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS as GOOGLE_MODELS
from imagegateway.providers.ideogram.adapter import IdeogramAdapter
from imagegateway.providers.ideogram.catalog import MODELS as IDEOGRAM_MODELS
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS as OPENAI_MODELS
from imagegateway.providers.stability.adapter import StabilityAdapter
from imagegateway.providers.stability.catalog import MODELS as STABILITY_MODELS

from tests.emulators.ark import Ark
from tests.emulators.bfl import Bfl
from tests.emulators.bria import Bria
from tests.emulators.google import Google
from tests.emulators.ideogram import Ideogram
from tests.emulators.openai import OpenAI
from tests.emulators.stability import Stability
from tests.providers.harness import Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def openai() -> AsyncIterator[OpenAI]:
    """Yield the emulator of OpenAI's API."""
    async with OpenAI() as emulator:
        yield emulator


@pytest.fixture
async def openai_harness(openai: OpenAI, tmp_path: Path) -> AsyncIterator[Harness]:
    """Yield the openai family, which calls the emulator."""
    values = {"IMAGEGATEWAY_OPENAI_BASE_URL": openai.base, "IMAGEGATEWAY_OPENAI_API_KEY": openai.key}
    async with Harness.open(OPENAI_MODELS, [OpenAIAdapter()], tmp_path, values) as harness:
        yield harness


@pytest.fixture
async def bria() -> AsyncIterator[Bria]:
    """Yield the emulator of Bria's API."""
    async with Bria() as emulator:
        yield emulator


@pytest.fixture
async def bria_harness(bria: Bria, tmp_path: Path) -> AsyncIterator[Harness]:
    """Yield the bria family, which calls the emulator."""
    values = {"IMAGEGATEWAY_BRIA_BASE_URL": bria.base, "IMAGEGATEWAY_BRIA_API_KEY": bria.key}
    async with Harness.open(BRIA_MODELS, [BriaAdapter(), BriaFalAdapter()], tmp_path, values) as harness:
        yield harness


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """Yield the emulator of Google's API."""
    async with Google() as emulator:
        yield emulator


@pytest.fixture
async def google_harness(google: Google, tmp_path: Path) -> AsyncIterator[Harness]:
    """Yield the google family, which calls the emulator."""
    values = {"IMAGEGATEWAY_GOOGLE_BASE_URL": google.base, "IMAGEGATEWAY_GOOGLE_API_KEY": google.key}
    async with Harness.open(GOOGLE_MODELS, [GoogleAdapter()], tmp_path, values) as harness:
        yield harness


@pytest.fixture
async def ideogram() -> AsyncIterator[Ideogram]:
    """Yield the emulator of Ideogram's API."""
    async with Ideogram() as emulator:
        yield emulator


@pytest.fixture
async def ideogram_harness(ideogram: Ideogram, tmp_path: Path) -> AsyncIterator[Harness]:
    """Yield the ideogram family, which calls the emulator."""
    values = {"IMAGEGATEWAY_IDEOGRAM_BASE_URL": ideogram.base, "IMAGEGATEWAY_IDEOGRAM_API_KEY": ideogram.key}
    async with Harness.open(IDEOGRAM_MODELS, [IdeogramAdapter()], tmp_path, values) as harness:
        yield harness


@pytest.fixture
async def bfl() -> AsyncIterator[Bfl]:
    """Yield the emulator of BFL's API."""
    async with Bfl() as emulator:
        yield emulator


@pytest.fixture
async def ark() -> AsyncIterator[Ark]:
    """Yield the emulator of ByteDance's Ark API."""
    async with Ark() as emulator:
        yield emulator


@pytest.fixture
async def ark_harness(ark: Ark, tmp_path: Path) -> AsyncIterator[Harness]:
    """Yield the bytedance family, which calls the emulator."""
    values = {"IMAGEGATEWAY_BYTEDANCE_BASE_URL": ark.base, "IMAGEGATEWAY_BYTEDANCE_API_KEY": ark.key}
    async with Harness.open(BYTEDANCE_MODELS, [BytedanceAdapter()], tmp_path, values) as harness:
        yield harness


@pytest.fixture
async def stability() -> AsyncIterator[Stability]:
    """Yield the emulator of Stability AI's API."""
    async with Stability() as emulator:
        yield emulator


@pytest.fixture
async def stability_harness(stability: Stability, tmp_path: Path) -> AsyncIterator[Harness]:
    """The stability family, which calls the emulator."""
    values = {"IMAGEGATEWAY_STABILITY_BASE_URL": stability.base, "IMAGEGATEWAY_STABILITY_API_KEY": stability.key}
    async with Harness.open(STABILITY_MODELS, [StabilityAdapter()], tmp_path, values) as harness:
        yield harness
