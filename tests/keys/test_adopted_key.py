"""The API key of the settings: adopted, replaced when its file changes, and kept while NATS is unavailable."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from imagegateway.keys.adopted_key import AdoptedKey
from imagegateway.keys.api_keys import RevokedKeyError
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.secret import Secret
from imagegateway.platform.supervision import cancel
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagegateway.keys.api_keys import ApiKey


class ChangingSecret(Secret):
    """Secret whose value a test changes."""

    def change(self, value: str) -> None:
        self._value = value


class Keys(GatewayKeys):
    """Records adopted keys. The next call raises each error in `errors` first."""

    def __init__(self, *errors: Exception) -> None:
        self.adopted: list[str] = []
        self.errors = list(errors)
        self.waited: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def adopt(self, secret: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.adopted.append(secret)
        self.waited[secret].set()

    async def suspend_left(self, records: Iterable[ApiKey]) -> None:
        pass


async def follow_to(key: AdoptedKey, keys: Keys, secret: str) -> None:
    """Follow until the secret is adopted."""
    task = asyncio.create_task(key.follow(lambda: (), seconds=0.0))
    async with asyncio.timeout(10):
        await keys.waited[secret].wait()
    await cancel(task)


async def test_each_further_key_is_adopted_once_also_after_a_failure() -> None:
    keys, secret = Keys(), ChangingSecret("first")
    key = AdoptedKey(secret, keys)
    await key.adopt()
    keys.errors = [UnavailableError("NATS is unavailable")]
    secret.change("second")
    with capture_logs() as lines:
        await follow_to(key, keys, "second")
    assert keys.adopted == ["first", "second"]
    assert [line["event"] for line in lines] == ["api_key_not_adopted"]


async def test_key_after_a_revoked_one_is_adopted() -> None:
    keys, secret = Keys(RevokedKeyError()), ChangingSecret("revoked")
    key = AdoptedKey(secret, keys)
    with capture_logs() as lines:
        await key.adopt()
        secret.change("second")
        await follow_to(key, keys, "second")
    assert [line["event"] for line in lines] == ["api_key_revoked"]
