"""Limits of concurrent jobs: for each route and provider key, for each model, and for each tenant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESERVED_SHARE: Final = 8
"""One slot in `RESERVED_SHARE` of a route is kept from a tenant that holds all others, with the operator's key."""
MIN_DIVIDED_SLOTS: Final = 32
"""Routes with fewer slots keep none: a provider's small limit is soon free again, and tenants alternate."""


@dataclass(frozen=True, slots=True)
class LimitKey:
    """Scope of a concurrency limit: a route with one provider key, or one model within it."""

    route: str
    account: str = ""
    """Fingerprint of a caller's own key; empty: the operator's key."""
    model: str = ""
    """Model with its own limit within the route's; else empty."""

    @property
    def route_key(self) -> LimitKey:
        """The key of the whole route with this provider key."""
        return LimitKey(self.route, self.account) if self.model else self

    @property
    def levels(self) -> tuple[LimitKey, ...]:
        """All keys whose limits a job of this key counts towards."""
        return (self, self.route_key) if self.model else (self,)


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """Slots that a job needs to run: `slots` of a limit key, as one job of its tenant."""

    job_id: str
    key: LimitKey
    tenant: str
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Number of slots for each provider key."""

    routes: Mapping[str, int]
    default: int
    """Slots of routes that are not in `routes`."""
    tenant: int
    """Most jobs that one tenant may have at the providers at once."""
    models: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Slots by route and model, where a model has fewer than its route."""
    multi_tenant: Callable[[], bool] = bool
    """Returns True if more than one tenant exists: a single tenant may hold every slot."""

    def key(self, route: str, account: str, model: str) -> LimitKey:
        """Return the limit key of a job."""
        return LimitKey(route, account, model if (route, model) in self.models else "")

    def of(self, key: LimitKey) -> int:
        """Return the number of slots of a key."""
        return self.models[key.route, key.model] if key.model else self.routes.get(key.route, self.default)

    def tenant_share(self, key: LimitKey) -> int:
        """Return the number of slots of a key that one tenant may hold."""
        limit = self.of(key)
        if key.account or limit < MIN_DIVIDED_SLOTS or not self.multi_tenant():
            return limit
        return limit - limit // RESERVED_SHARE
