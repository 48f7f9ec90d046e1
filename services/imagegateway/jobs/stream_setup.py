"""Configuration of the job stream: creation, update, and a check of the NATS permissions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.stream_errors import NO_RESOURCES, OutcomeUnknownError
from imagegateway.platform import logs
from imagegateway.platform.setting_source import SettingError
from nats.js import api
from nats.js.errors import NotFoundError, ServerError

if TYPE_CHECKING:
    from imagegateway.jobs.stream_connection import StreamConnection
    from nats.js import JetStreamContext

_UNREACHABLE_SEQUENCE: Final = 2**62
_log = logs.get(__name__)


async def make_stream(js: JetStreamContext, name: str, replicas: int, max_bytes: int) -> None:
    """Create the stream or update its configuration. Any replica may do so at any time.

    `max_bytes`: largest size of the stream; -1: no limit. A server that can't reserve `max_bytes` creates a stream
    without the limit; `StreamCheck` enforces it as well.
    """
    config = api.StreamConfig(
        name=name,
        subjects=["j.*.*.*", "k.*"],
        max_msgs_per_subject=1,
        num_replicas=replicas,
        allow_msg_ttl=True,
        # Followers may lag: only the leader knows every acknowledged write.
        allow_direct=False,
        discard=api.DiscardPolicy.NEW,
        max_bytes=max_bytes,
    )
    try:
        await _make(js, config)
    except ServerError as error:
        if error.err_code not in NO_RESOURCES:
            raise
        _log.warning("job_stream_limit_not_reserved", max_bytes=max_bytes, error=error.description)
        await _make(js, config.evolve(max_bytes=-1))


async def _make(js: JetStreamContext, config: api.StreamConfig) -> None:
    try:
        await js.update_stream(config)
    except NotFoundError:
        await js.add_stream(config)


async def check_permissions(connection: StreamConnection, *subjects: str) -> None:
    """Raise SettingError when NATS denies this process a write: the server does not answer such a write at all.

    Nor does a cluster answer that elects a leader, so a write is repeated.
    """
    for subject in subjects:
        try:
            await connection.patiently(partial(_write_nothing, connection, subject))
        except OutcomeUnknownError:
            raise SettingError(
                f"NATS does not answer a message on {subject}: let the gateway's user "
                "(IMAGEGATEWAY_NATS_CREDENTIALS) publish on j.>, k.> and u.>"
            ) from None


async def _write_nothing(connection: StreamConnection, subject: str) -> None:
    # The server answers with a refusal, because no stream meets the expectation; so it received the message.
    await connection.request(subject, b"", {"Nats-Expected-Last-Sequence": str(_UNREACHABLE_SEQUENCE)})
