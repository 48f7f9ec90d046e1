"""Deletion of a job's inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.media.store import StoreUnavailable
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.media.store import MediaStore

_log = logs.get(__name__)


async def delete_inputs(store: MediaStore, keys: Sequence[str]) -> None:
    """Delete inputs from the media store. The sweeper deletes what an unreachable store keeps."""
    if not keys:
        return
    try:
        await store.delete(keys)
    except StoreUnavailable:
        _log.warning("inputs_not_deleted", count=len(keys))
