"""Administration of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.keys.api_keys import ApiKey
from imagegateway.router.admin.durations import seconds_of
from imagegateway.router.admin.lists import not_found, page_of
from imagegateway.router.admin.policy_fields import (
    changed_fields,
    key_message,
    policy_errors,
    set_fields,
    with_key_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.admin.v1.key_pb2 import Key
    from imagegateway.keys.key_store import KeyStore
    from imagegateway.keys.last_use import LastUse
    from imagegateway.platform.errors import GatewayError
    from imagegateway.router.admin.spending import Spending

_OVERLAP: Final = "24h"
_LONGEST_OVERLAP: Final = 90 * 86_400


class KeyAdministration:
    """Operations on the keys of all tenants. `clock` returns Unix seconds."""

    def __init__(self, *, store: KeyStore, last_use: LastUse, spending: Spending, clock: Callable[[], float]) -> None:
        self._store = store
        self._last_use = last_use
        self._spending = spending
        self._clock = clock

    async def create(self, request: pb.CreateKeyRequest) -> Key:
        """Create a key, and return it with its secret. Raises GatewayError INVALID_VALUE."""
        blank = ApiKey(id="", tenant=request.tenant, name="", created_at=0)
        policy = with_key_fields(blank, request, set_fields(request), self._clock())
        with policy_errors():
            secret, key = await self._store.create(
                policy.tenant,
                policy.name,
                policy.prefer,
                scopes=policy.scopes,
                models=policy.models,
                quota=policy.quota,
                expires_at=policy.expires_at,
                response_format=policy.response_format,
            )
        return key_message(key, secret=secret, spent=None if key.quota.budget is None else 0.0)

    async def list(self, request: pb.ListKeysRequest) -> pb.ListKeysResponse:
        """Return a page of keys, oldest first. Raises GatewayError INVALID_VALUE."""
        keys = await self._store.list(revoked=request.revoked)
        if request.tenant:
            keys = [key for key in keys if key.tenant == request.tenant]
        page, token = page_of(keys, _age, request.page_size, request.page_token)
        used = await self._last_use.all()
        data = [
            key_message(key, spent=await self._spending.of_key(key), last_used_at=used.get(key.id, 0)) for key in page
        ]
        return pb.ListKeysResponse(object="list", data=data, next_page_token=token)

    async def get(self, key_id: str) -> Key:
        """Return a key, revoked or not. Raises GatewayError NOT_FOUND."""
        found = (key for key in await self._store.list(revoked=True) if key.id == key_id)
        return await self._known(key_id, next(found, None))

    async def update(self, request: pb.UpdateKeyRequest) -> Key:
        """Change a key and return it. Raises GatewayError: NOT_FOUND, INVALID_VALUE."""
        names, now = changed_fields(request), self._clock()
        with policy_errors():
            key = await self._store.update(request.id, lambda key: with_key_fields(key, request, names, now))
        return await self._known(request.id, key)

    async def rotate(self, request: pb.RotateKeyRequest) -> Key:
        """Replace a key's secret, and return the key with it. Raises GatewayError: NOT_FOUND, INVALID_VALUE."""
        overlap = seconds_of(request.overlap or _OVERLAP, "overlap", _LONGEST_OVERLAP)
        shown = await self.get(request.id)  # before the rotation: a failure afterwards would lose the secret
        secret, key = await self._store.rotate(request.id, overlap) or ("", None)
        if key is None:
            raise _unknown(request.id)
        shown.key = secret
        return shown

    async def revoke(self, key_id: str) -> Key:
        """Revoke a key and return it. Idempotent. Raises GatewayError NOT_FOUND."""
        revoked = await self._store.revoke(key_id)
        return await (self._known(key_id, revoked) if revoked else self.get(key_id))

    async def _known(self, key_id: str, key: ApiKey | None) -> Key:
        if key is None:
            raise _unknown(key_id)
        used = (await self._last_use.all()).get(key.id, 0)
        return key_message(key, spent=await self._spending.of_key(key), last_used_at=used)


def _unknown(key_id: str) -> GatewayError:
    return not_found("id", f"There is no key {key_id[:60]!r}.")


def _age(key: ApiKey) -> str:
    """Return a sort key: the oldest key first."""
    return f"{key.created_at:020d}{key.id}"
