"""Limits of concurrent jobs: for each route and provider key, for each model, each tenant and each API key."""

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
    """Slots that a job needs to run: `slots` of a limit key, as one job of its tenant and of its API key."""

    job_id: str
    key: LimitKey
    tenant: str
    slots: int = 1
    api_key: str = ""
    """Id of the caller's API key; empty: not in the job's record, written by an earlier version."""


def no_limit(_name: str) -> None:
    """Return None: there is no limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Number of slots for each provider key, and of concurrent jobs for each tenant and API key.

    The functions are called for each decision, so a changed policy holds from the next grant on.
    """

    routes: Mapping[str, int]
    default: int
    """Slots of routes that are not in `routes`."""
    tenant: int
    """Most jobs that any tenant may have at the providers at once."""
    models: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Slots by route and model, where a model has fewer than its route."""
    multi_tenant: Callable[[], bool] = bool
    """Returns True if more than one tenant exists: a single tenant may hold every slot."""
    tenant_jobs: Callable[[str], int | None] = no_limit
    """Returns `concurrent_jobs` of a tenant's policy; None: no limit beside `tenant`."""
    api_key_jobs: Callable[[str], int | None] = no_limit
    """Returns `concurrent_jobs` of the API key with an id; None: no limit."""

    def key(self, route: str, account: str, model: str) -> LimitKey:
        """Return the limit key of a job."""
        return LimitKey(route, account, model if (route, model) in self.models else "")

    def of(self, key: LimitKey) -> int:
        """Return the number of slots of a key."""
        return self.models[key.route, key.model] if key.model else self.routes.get(key.route, self.default)

    def of_tenant(self, tenant: str) -> int:
        """Return the most jobs that a tenant may have at the providers at once."""
        own = self.tenant_jobs(tenant)
        return self.tenant if own is None else min(own, self.tenant)

    def tenant_share(self, key: LimitKey) -> int:
        """Return the number of slots of a key that one tenant may hold."""
        limit = self.of(key)
        if key.account or limit < MIN_DIVIDED_SLOTS or not self.multi_tenant():
            return limit
        return limit - limit // RESERVED_SHARE
