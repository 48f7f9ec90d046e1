"""A world for every row of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.providers.contract.routes import ROWS
from tests.providers.contract.world import World, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.providers.contract.rows import Row


@pytest.fixture(params=ROWS, ids=lambda row: str(row.name))
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
async def world(row: Row, tmp_path: Path) -> AsyncIterator[World]:
    async with opened(row, tmp_path) as made:
        yield made
