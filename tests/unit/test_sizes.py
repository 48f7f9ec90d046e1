"""Sizes that models with limits make of what is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.catalog import Free

SIDES = st.integers(1, 99_999)
WINDOW = Free(
    default=(1024, 1024),
    min_side=480,
    max_side=3840,
    step=16,
    max_pixels=8_294_400,
    min_pixels=655_360,
    max_ratio=3,
)


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ((1024, 1024), (1024, 1024)),
        ((1920, 1080), (1920, 1072)),
        ((512, 512), (816, 816)),
        ((4096, 4096), (2880, 2880)),
        ((3840, 2160), (3840, 2160)),
        ((3000, 500), (1504, 512)),
        ((100, 5000), (480, 1440)),
    ],
)
def test_nearest_size_within_a_window_of_pixels(asked: tuple[int, int], made: tuple[int, int]) -> None:
    assert WINDOW.nearest(*asked) == made


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ((1536, 1024), (1440, 960)),
        ((4096, 2048), (1440, 704)),
        ((128, 192), (256, 384)),
        ((100, 5000), (256, 1440)),
        ((1000, 800), (992, 800)),
    ],
)
def test_sides_that_are_too_long_or_too_short_keep_the_shape(asked: tuple[int, int], made: tuple[int, int]) -> None:
    sides = Free(default=(1024, 768), min_side=256, max_side=1440, step=32)
    assert sides.nearest(*asked) == made


@given(SIDES, SIDES)
def test_every_limit_holds_for_any_size_and_allowed_ones_stay(width: int, height: int) -> None:
    made = WINDOW.nearest(width, height)
    assert all(side % 16 == 0 for side in made)
    assert 655_360 <= made[0] * made[1] <= 8_294_400
    assert max(made) <= min(3840, 3 * min(made))
    assert WINDOW.nearest(*made) == made
