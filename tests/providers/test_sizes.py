"""Requested sizes, adjusted to the limits of models."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagegateway.providers.sizes import SizeRange

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDES = st.integers(1, 99_999)
WINDOW = SizeRange(
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
        ((3000, 500), (1488, 496)),
        ((640, 480), (944, 704)),
        ((800, 600), (944, 704)),
        ((300, 400), (704, 944)),
        ((100, 5000), (480, 1440)),
    ],
)
def test_nearest_size_stays_within_the_pixel_range(asked: tuple[int, int], made: tuple[int, int]) -> None:
    assert WINDOW.nearest(*asked) == made


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ((1536, 1024), (1440, 960)),
        ((4096, 2048), (1408, 704)),
        ((128, 192), (256, 384)),
        ((100, 5000), (256, 1440)),
        ((1000, 800), (992, 800)),
        ((500, 750), (512, 768)),
        ((1200, 630), (1216, 640)),
    ],
)
def test_sides_that_are_too_long_or_too_short_keep_the_shape(asked: tuple[int, int], made: tuple[int, int]) -> None:
    sides = SizeRange(default=(1024, 768), min_side=256, max_side=1440, step=32)
    assert sides.nearest(*asked) == made


@given(SIDES, SIDES)
def test_every_limit_holds_for_any_size_and_allowed_ones_stay(width: int, height: int) -> None:
    made = WINDOW.nearest(width, height)
    assert all(side % 16 == 0 for side in made)
    assert 655_360 <= made[0] * made[1] <= 8_294_400
    assert max(made) <= min(3840, 3 * min(made))
    assert WINDOW.nearest(*made) == made
    assert WINDOW.nearest(height, width) == made[::-1]


def grid(sizes: SizeRange) -> Iterator[tuple[int, int]]:
    """Return every size of a model."""
    sides = range(-(-sizes.min_side // sizes.step) * sizes.step, sizes.max_side + 1, sizes.step)
    for width, height in itertools.product(sides, sides):
        fits = sizes.min_pixels <= width * height <= sizes.max_pixels
        if fits and max(width, height) <= sizes.max_ratio * min(width, height):
            yield width, height


COARSE = SizeRange(
    default=(512, 512), min_side=128, max_side=1024, step=64, max_pixels=700_000, min_pixels=60_000, max_ratio=4
)


@given(st.integers(64, 2000), st.integers(64, 2000))
def test_no_allowed_size_is_nearer_in_shape_by_more_than_one_per_cent(width: int, height: int) -> None:
    made = COARSE.nearest(width, height)
    assert made in set(grid(COARSE))
    wanted = max(min(width / height, 4), 0.25)

    def off(size: tuple[int, int]) -> float:
        ratio = size[0] / size[1] / wanted
        return max(ratio, 1 / ratio)

    assert off(made) <= max(1.01, min(map(off, grid(COARSE))) + 1e-9)
