"""The job stream's configuration, and how it comes into force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from nats.js import api
from nats.js.errors import NotFoundError, ServerError

if TYPE_CHECKING:
    from nats.js import JetStreamContext

_NO_RESOURCES: Final = (10023, 10028, 10047)
"""Refusals of a stream whose `max_bytes` the server or the account can't reserve."""
_log = logs.get(__name__)


async def make_stream(js: JetStreamContext, name: str, replicas: int, max_bytes: int) -> None:
    """Make the stream, or bring an existing one up to date; any replica may, at any time.

    A server with less than `max_bytes` to give makes a stream without that bound: `StreamCheck` keeps it as well.
    """
    config = api.StreamConfig(
        name=name,
        subjects=["j.*.*.*", "k.*"],
        max_msgs_per_subject=1,
        num_replicas=replicas,
        allow_msg_ttl=True,
        # Followers may lag: only the leader tells the truth about a write just made.
        allow_direct=False,
        discard=api.DiscardPolicy.NEW,
        max_bytes=max_bytes,
    )
    try:
        await _make(js, config)
    except ServerError as error:
        if error.err_code not in _NO_RESOURCES:
            raise
        _log.warning("job_stream_limit_not_reserved", max_bytes=max_bytes, error=error.description)
        await _make(js, config.evolve(max_bytes=-1))


async def _make(js: JetStreamContext, config: api.StreamConfig) -> None:
    try:
        await js.update_stream(config)
    except NotFoundError:
        await js.add_stream(config)
