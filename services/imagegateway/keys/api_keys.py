"""API keys: their records in a JetStream bucket that every replica follows.

Keys are random, shown once and stored as a hash. A rotated key has one record for each secret, all with the same id.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from imagegateway.keys.policy import (
    ALL_SCOPES,
    ANY_MODEL,
    DEFAULT_SCOPES,
    NO_LIMITS,
    BudgetPeriod,
    PolicyError,
    Quota,
    Scope,
    check_models,
)
from imagegateway.platform.stored_values import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUCKET: Final = "api_keys"
API_KEY_NAME: Final = "IMAGEGATEWAY_API_KEY"
"""Name of a key that a gateway adopts from its settings."""
MAX_TENANT: Final = 100
"""Longest name of a tenant, in characters."""
MAX_NOTE: Final = 200
"""Longest name of a key, and longest default Prefer header, in characters."""
FIRST_KEY_NAME: Final = "made at the first start"
"""Name of the key that the first start of a gateway creates."""
RESPONSE_FORMATS: Final = ("", "url", "b64_json")
"""Default response formats of a key; empty: the model's."""
POLICY: Final = ("name", "prefer", "response_format", "scopes", "models", "quota", "expires_at")
"""Fields of a key that its secrets share and that an update changes."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class RevokedKeyError(Exception):
    """The key is revoked or has expired: it can't be adopted again, and its running calls end."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Record of one secret of a key."""

    id: str
    """First 12 hex digits of the hash of the first secret: enough as a name, useless for guesses."""
    tenant: str
    name: str
    created_at: int
    """Time of the key's creation. All times are Unix seconds."""
    prefer: str = ""
    """Default Prefer header."""
    response_format: str = ""
    """Default response format: one of RESPONSE_FORMATS."""
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    models: tuple[str, ...] = ANY_MODEL
    """Patterns of the allowed models, as `policy.allows` reads them."""
    quota: Quota = NO_LIMITS
    expires_at: int = 0
    """Time from which the key is refused; 0: never."""
    issued_at: int = 0
    """Time of the creation of this secret; 0: as `created_at`."""
    retired_at: int = 0
    """Time from which a rotated secret is refused; 0: the current secret."""
    revoked_at: int = 0
    """0: not revoked. The record of a revoked key remains, so no later start adopts the key again."""
    adopted_by: tuple[str, ...] = ()
    """Gateways whose setting contains the secret. Empty for a created one."""
    announced_by: tuple[str, ...] = ()
    """Gateways of `adopted_by` that answer probes. Those up to 0.2 do not, and are never taken for gone."""
    left_at: int = 0
    """Time from which none of these gateways ran, and another one had another secret; 0: one may run."""
    suspension: str = ""
    """Id of the audit event of the last suspension."""
    session_of: str = ""
    """Gateway whose run the key belongs to, and ends with. Empty for a lasting key."""
    root: str = ""
    """Key id of the tag's root secret. Empty for an adopted key, which has no tag."""
    digest: str = field(default="", repr=False)
    """Fingerprint of the secret: the name of the record in the bucket."""

    @property
    def ends_at(self) -> int:
        """Return the time from which the secret is refused; 0: never."""
        return min((at for at in (self.expires_at, self.retired_at, self.left_at) if at), default=0)

    def is_over(self, now: float) -> bool:
        """Return whether the secret is refused at `now`, in Unix seconds."""
        return bool(self.revoked_at) or 0 < self.ends_at <= now

    def check(self) -> None:
        """Raise PolicyError for a field that is out of range."""
        check_tenant(self.tenant)
        check_line("name", self.name, MAX_NOTE)
        check_line("prefer", self.prefer, MAX_NOTE, "default Prefer header")
        if self.response_format not in RESPONSE_FORMATS:
            raise PolicyError("response_format", "response_format must be url or b64_json.")
        if not self.scopes:
            raise PolicyError("scopes", f"scopes must name at least one of {', '.join(Scope)}.")
        check_models(self.models)
        self.quota.check()


def fingerprint(secret: str) -> str:
    """Return the SHA-256 of a key as 64 hex digits. Keys are random, so a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_id(digest: str) -> str:
    """Return the id of a key by the fingerprint of its first secret."""
    return digest[:12]


def check_tenant(tenant: str) -> None:
    """Raise PolicyError for a malformed tenant name."""
    if not tenant:
        raise PolicyError("tenant", "the tenant must not be empty")
    check_line("tenant", tenant, MAX_TENANT)


def check_line(field: str, text: str, longest: int, noun: str = "") -> None:
    """Raise PolicyError for a text that is too long, not printable, or has blanks around it."""
    noun = noun or field
    if len(text) > longest:
        raise PolicyError(field, f"the {noun} must have at most {longest} characters, not {len(text)}")
    if not text.isprintable() or text != text.strip():
        raise PolicyError(
            field, f"the {noun} must be one line of printable characters, without a blank at either end"
        )


def current_records(records: Iterable[ApiKey]) -> dict[str, ApiKey]:
    """Return the record of the newest secret of each key that is not revoked, by id. Its policy is the key's.

    One revoked record revokes the key, also when a crash has interrupted the revocation of the others.
    """
    found: dict[str, ApiKey] = {}
    revoked: set[str] = set()
    for record in records:
        if record.revoked_at:
            revoked.add(record.id)
        elif (known := found.get(record.id)) is None or _age(known) < _age(record):
            found[record.id] = record
    return {key_id: record for key_id, record in found.items() if key_id not in revoked}


def revoked_records(records: Iterable[ApiKey]) -> dict[str, ApiKey]:
    """Return the newest revoked record of each revoked key, by id."""
    return {record.id: record for record in sorted(records, key=_age) if record.revoked_at}


def _age(record: ApiKey) -> tuple[bool, int, str]:
    """Return a sort key: the newest secret of a key is the greatest, also after an interrupted rotation."""
    return not record.retired_at, record.issued_at or record.created_at, record.digest


def with_policy_of(record: ApiKey, current: ApiKey) -> ApiKey:
    """Return the record of a secret with the policy of its key's newest secret."""
    return replace(
        current,
        digest=record.digest,
        issued_at=record.issued_at,
        retired_at=record.retired_at,
        left_at=record.left_at,
    )


def encode(key: ApiKey) -> bytes:
    """Return the stored form of a key."""
    return json.dumps(
        {
            "id": key.id,
            "tenant": key.tenant,
            "name": key.name,
            "created_at": key.created_at,
            "prefer": key.prefer,
            "response_format": key.response_format,
            "scopes": sorted(key.scopes),
            "models": key.models,
            "quota": quota_fields(key.quota),
            "expires_at": key.expires_at,
            "issued_at": key.issued_at,
            "retired_at": key.retired_at,
            "revoked_at": key.revoked_at,
            "adopted_by": key.adopted_by,
            "announced_by": key.announced_by,
            "left_at": key.left_at,
            "suspension": key.suspension,
            "session_of": key.session_of,
            "root": key.root,
        }
    ).encode()


def decode(digest: str, value: bytes) -> ApiKey:
    """Return a stored key. Raises ValueError for a malformed one.

    Records of version 0.1 have no policy: no limits, and every scope for keys that a start adopted or made.
    """
    if not _DIGEST.fullmatch(digest):
        raise ValueError("no fingerprint")
    data = StoredObject.parse(value)
    adopted_by, session_of, name = data.texts("adopted_by"), data.text("session_of", ""), data.text("name", "")
    first = bool(adopted_by or session_of or name == FIRST_KEY_NAME)
    scopes = frozenset(map(Scope, data.texts("scopes"))) or (ALL_SCOPES if first else DEFAULT_SCOPES)
    return ApiKey(
        id=data.text("id", key_id(digest)),
        tenant=data.text("tenant"),
        name=name,
        created_at=data.integer("created_at", 0),
        prefer=data.text("prefer", ""),
        response_format=data.text("response_format", ""),
        scopes=scopes,
        models=data.texts("models") or ANY_MODEL,
        quota=read_quota(data.object("quota")),
        expires_at=data.integer("expires_at", 0),
        issued_at=data.integer("issued_at", 0),
        retired_at=data.integer("retired_at", 0),
        revoked_at=data.integer("revoked_at", 0),
        adopted_by=adopted_by,
        announced_by=data.texts("announced_by"),
        left_at=data.integer("left_at", 0),
        suspension=data.text("suspension", ""),
        session_of=session_of,
        root=data.text("root", ""),
        digest=digest,
    )


def quota_fields(quota: Quota) -> Mapping[str, object]:
    """Return the stored form of a quota."""
    return {
        "requests_per_minute": quota.requests_per_minute or 0,
        "images_per_minute": quota.images_per_minute or 0,
        "concurrent_jobs": quota.concurrent_jobs or 0,
        "budget": "" if quota.budget is None else str(quota.budget),
        "budget_period": quota.budget_period,
    }


def read_quota(data: StoredObject) -> Quota:
    """Return a stored quota. Raises ValueError for a malformed one."""
    budget = data.text("budget", "")
    try:
        amount = Decimal(budget) if budget else None
    except InvalidOperation:
        raise ValueError("budget is no number") from None
    return Quota(
        requests_per_minute=data.integer("requests_per_minute", 0) or None,
        images_per_minute=data.integer("images_per_minute", 0) or None,
        concurrent_jobs=data.integer("concurrent_jobs", 0) or None,
        budget=amount,
        budget_period=BudgetPeriod(data.text("budget_period", BudgetPeriod.MONTH)),
    )
