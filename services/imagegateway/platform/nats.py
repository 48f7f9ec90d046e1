"""NATS connections and buckets: the stack's server, or an external server or cluster."""

from __future__ import annotations

import random
import ssl
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.platform import logs
from imagegateway.platform.nats_client import Client
from imagegateway.platform.setting_source import PREFIX, SettingError
from nats.js.api import StorageType
from nats.js.errors import BucketNotFoundError, NoStreamResponseError
from nats.js.kv import KeyValue

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client as AnyClient
    from nats.js import JetStreamContext

_PATIENCE_SECONDS: Final = 5.0
"""Failures of an outage this long are logged: the stack's own server starts meanwhile."""
_READ_SECONDS: Final = 2.0
_log = logs.get(__name__)


async def connect(settings: Settings, name: str, *, wait: bool = True) -> Client:
    """Connect, and reconnect for the lifetime of the process.

    Wait for a server that does not respond. With `wait=False`, raise nats.errors.Error or OSError instead.
    Raises SettingError for a file that can't be read.
    """
    client = Client()
    connection_log = _ConnectionLog(client)
    servers = settings.nats_address().split(",")
    random.shuffle(servers)

    try:
        await client.connect(
            servers=servers,
            dont_randomize=True,  # in turn: a server that froze accepts connections, and would be chosen again
            name=name,
            user_credentials=_credentials(settings),
            tls=_tls(settings),
            connect_timeout=2,
            max_reconnect_attempts=-1 if wait else 1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # passed to asyncio.sleep: fractions work
            ping_interval=2,  # a host that vanishes closes no connection: 6 s until the next server
            max_outstanding_pings=2,
            allow_reconnect=wait,
            disconnected_cb=connection_log.disconnected,
            reconnected_cb=connection_log.reconnected,
            error_cb=connection_log.failed,
        )
    except (nats.errors.Error, OSError):
        await client.close()  # nats-py leaves the connection open
        raise
    return client


class _ConnectionLog:
    """Log lines of a connection: its outages, and each reason of one that lasts."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._since = time.monotonic()
        """Start of the present outage, or of the first connection."""
        self._reasons: set[str] = set()

    async def disconnected(self) -> None:
        self._since = time.monotonic()
        self._reasons.clear()
        if not self._client.is_closed:
            _log.warning("nats_disconnected")

    async def reconnected(self) -> None:
        _log.info("nats_reconnected")

    async def failed(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        lasts = not self._client.is_connected and time.monotonic() - self._since >= _PATIENCE_SECONDS
        if lasts and reason not in self._reasons:
            self._reasons.add(reason)
            _log.warning("nats_unreachable", reason=reason)
        else:
            _log.debug("nats_error", error=repr(error))


def _credentials(settings: Settings) -> str | None:
    path = settings.nats_credentials
    if not path:
        return None
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise SettingError(f"{PREFIX}NATS_CREDENTIALS: {path} can't be read ({error.strerror})") from None
    return path


def _tls(settings: Settings) -> ssl.SSLContext | None:
    path = settings.nats_ca
    if not path:
        return None
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # an ssl.SSLError is one
        raise SettingError(f"{PREFIX}NATS_CA: {path} holds no readable certificates ({error})") from None


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


def repeated_reads(client: AnyClient) -> JetStreamContext:
    """Return a JetStream context whose requests end after 2 s, so that a read is repeated soon."""
    return client.jetstream(timeout=_READ_SECONDS)


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
