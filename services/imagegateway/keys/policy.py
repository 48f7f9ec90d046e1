"""Policy of keys and tenants: scopes, models, rate limits, concurrency and budgets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

MAX_RATE: Final = 1_000_000
"""Largest number of requests, images or concurrent jobs of a limit."""
MAX_BUDGET: Final = Decimal(1_000_000_000)
"""Largest budget in US dollars."""
MAX_MODELS: Final = 100
"""Most patterns of a list of models."""
_PATTERN: Final = re.compile(r"[\w./*?\-:\[\]!]{1,200}")


class Scope(StrEnum):
    """Permissions of a key. `generate`, `edit` and `video` make such jobs; `read` reads and changes nothing."""

    GENERATE = "generate"
    EDIT = "edit"
    VIDEO = "video"
    READ = "read"
    ADMIN = "admin"


ALL_SCOPES: Final = frozenset(Scope)
DEFAULT_SCOPES: Final = ALL_SCOPES - {Scope.ADMIN}
"""Scopes of a key without stated ones."""
ANY_MODEL: Final = ("*",)


class BudgetPeriod(StrEnum):
    """Period after which a budget is whole again: a calendar day or month in UTC, or never."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of a key, or of all keys of a tenant together. None: no limit."""

    requests_per_minute: int | None = None
    """Calls that make jobs."""
    images_per_minute: int | None = None
    """Requested images and videos of such calls."""
    concurrent_jobs: int | None = None
    """Jobs at the providers at once; more jobs wait in the queue."""
    budget: Decimal | None = None
    """US dollars in a period; 0: free models only."""
    budget_period: BudgetPeriod = BudgetPeriod.MONTH

    @property
    def limits_rates(self) -> bool:
        """Return True with a limit of requests or images a minute."""
        return self.requests_per_minute is not None or self.images_per_minute is not None

    def check(self) -> None:
        """Raise PolicyError for a limit out of range."""
        for name in ("requests_per_minute", "images_per_minute", "concurrent_jobs"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_RATE:
                raise PolicyError(name, f"{name} must be from 1 to {MAX_RATE}, not {value}.")
        if self.budget is not None and not (self.budget.is_finite() and 0 <= self.budget <= MAX_BUDGET):
            raise PolicyError("budget", f"budget must be from 0 to {MAX_BUDGET} US dollars.")


NO_LIMITS: Final = Quota()


class PolicyError(ValueError):
    """A field of a policy is invalid. `field`: its name, as in the API."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_models(models: tuple[str, ...]) -> None:
    """Raise PolicyError for an empty or malformed list of model patterns."""
    if not models:
        raise PolicyError("models", "models must name at least one pattern; `*` allows every model.")
    if len(models) > MAX_MODELS:
        raise PolicyError("models", f"models has {len(models)} patterns, and may have {MAX_MODELS}.")
    for pattern in models:
        if not _PATTERN.fullmatch(pattern):
            raise PolicyError("models", f"models: {pattern[:100]!r} is no pattern of model ids, such as `openai/*`.")


def allows(models: tuple[str, ...], model_id: str) -> bool:
    """Return whether a list of patterns allows a model. Patterns are shell globs over ids, case aside."""
    return models == ANY_MODEL or any(fnmatchcase(model_id.lower(), pattern.lower()) for pattern in models)


def key_account(key_id: str) -> str:
    """Return the name under which a key's rates and budget are counted."""
    return f"key.{key_id}"


@lru_cache(maxsize=4096)
def tenant_account(tenant: str) -> str:
    """Return the name under which a tenant's rates and budget are counted: valid in a bucket, whatever the tenant."""
    return f"tenant.{hashlib.sha256(tenant.encode()).hexdigest()}"
