"""Fixtures: each case of the table, and its family with a scripted provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.providers.contract.api_cases import API_CASES
from tests.providers.contract.api_fixture import ApiFixture, open_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.providers.contract.api_case import ApiCase


@pytest.fixture(params=API_CASES, ids=lambda case: str(case.name))
def case(request: pytest.FixtureRequest) -> ApiCase:
    param: ApiCase = request.param
    return param


@pytest.fixture
async def api(case: ApiCase, tmp_path: Path) -> AsyncIterator[ApiFixture]:
    async with open_api(case, tmp_path) as fixture:
        yield fixture
