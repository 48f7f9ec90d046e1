"""Number of examples of property-based tests: fewer in `make test-fast` than in `make test`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine generates examples slowly: that is no fault of a test.
settings.register_profile("full", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("full")
settings.register_profile("quick", max_examples=20)


def examples(share: float) -> int:
    """Return a share of the examples of the current profile, which has 100 by default, and 20 as `quick`."""
    return max(1, round(share * settings().max_examples))
