"""NATS connections and buckets: the stack's server, or an external server or cluster."""

from __future__ import annotations

import random
import ssl
from functools import partial
from typing import TYPE_CHECKING

from imagegateway.platform import logs
from imagegateway.platform.nats_client import Client
from nats.js.api import StorageType
from nats.js.errors import BucketNotFoundError, NoStreamResponseError
from nats.js.kv import KeyValue

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings
    from nats.js import JetStreamContext

_log = logs.get(__name__)


async def connect(settings: Settings, name: str, *, wait: bool = True) -> Client:
    """Connect, and reconnect for the lifetime of the process.

    Wait for a server that does not respond. With `wait=False`, raise nats.errors.Error or OSError instead.
    """
    client = Client()
    servers = settings.nats_address().split(",")
    random.shuffle(servers)

    async def disconnected() -> None:
        if not client.is_closed:
            _log.warning("nats_disconnected")

    async def reconnected() -> None:
        _log.info("nats_reconnected")

    async def failed(error: Exception) -> None:
        _log.debug("nats_error", error=repr(error))

    await client.connect(
        servers=servers,
        dont_randomize=True,  # in turn: a server that froze accepts connections, and would be chosen again
        name=name,
        user_credentials=settings.nats_credentials or None,
        tls=ssl.create_default_context(cafile=settings.nats_ca) if settings.nats_ca else None,
        connect_timeout=2,
        max_reconnect_attempts=-1 if wait else 1,
        reconnect_time_wait=0.25,  # type: ignore[arg-type]  # passed to asyncio.sleep: fractions work
        ping_interval=2,  # a host that vanishes closes no connection: 6 s until the next server
        max_outstanding_pings=2,
        allow_reconnect=wait,
        disconnected_cb=disconnected,
        reconnected_cb=reconnected,
        error_cb=failed,
    )
    return client


class MemoryBucket(KeyValue):
    """Key-value bucket in the memory of the NATS servers. `ttl` is the lifetime of a value in seconds.

    The restart of a lone server deletes such a bucket. The next write creates it again, and fails.
    """

    def __init__(self, js: JetStreamContext, name: str, replicas: int, ttl: float) -> None:
        super().__init__(name=name, stream=f"KV_{name}", pre=f"$KV.{name}.", js=js, direct=False)
        self._create = partial(bucket, js, name, replicas, ttl, StorageType.MEMORY)

    @classmethod
    async def open(cls, js: JetStreamContext, name: str, replicas: int, ttl: float) -> MemoryBucket:
        """Open the bucket, and create it if absent. Raises nats.errors.Error."""
        opened = cls(js, name, replicas, ttl)
        await opened._create()
        return opened

    async def update(self, key: str, value: bytes, last: int | None = None, validate_keys: bool = True) -> int:
        try:
            return await super().update(key, value, last, validate_keys)
        except NoStreamResponseError:
            await self._create()
            raise


async def bucket(
    js: JetStreamContext, name: str, replicas: int, ttl: float | None = None, storage: StorageType = StorageType.FILE
) -> KeyValue:
    """Open a key-value bucket, and create it if absent. `ttl` is in seconds; None keeps values without limit.

    `storage` MEMORY: the values do not survive a restart of the NATS server.
    """
    try:
        return await js.key_value(name)
    except BucketNotFoundError:
        # Several replicas may create the bucket at once: a second creation is no error.
        return await js.create_key_value(
            bucket=name, history=1, ttl=ttl, replicas=replicas, storage=storage, direct=False
        )
