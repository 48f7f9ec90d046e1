"""Number of examples of property-based tests and of long tables: fewer in `make test-fast` than in `make test`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = TypeVar("Row")

_FULL: Final = 100
_QUICK: Final = 20

# A busy machine generates examples slowly: that is no fault of a test.
settings.register_profile("full", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("full")
settings.register_profile("quick", max_examples=_QUICK)


def examples(share: float) -> int:
    """Return a share of the examples of the current profile, which has 100 by default, and 20 as `quick`."""
    return max(1, round(share * settings().max_examples))


def sample(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield all rows of a table, and as `quick` every fifth of them."""
    return islice(rows, 0, None, max(1, _FULL // settings().max_examples))
