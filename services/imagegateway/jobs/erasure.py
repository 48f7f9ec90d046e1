"""Erasure of ended jobs: deletes prompt, inputs, media and metadata for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import transitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.background_tasks import BackgroundTasks
    from imagegateway.jobs.job_writer import JobWriter
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.media.store import MediaStore


class JobErasure:
    """Erases jobs of any replica. An erasure that a crash interrupts is completed by the next one of the same job."""

    def __init__(self, stream: JobStream, writer: JobWriter, store: MediaStore, tasks: BackgroundTasks) -> None:
        self._stream = stream
        self._writer = writer
        self._store = store
        self._tasks = tasks

    async def erase(self, entry: Entry) -> Entry:
        """Erase an ended job without an open provider call, and return it.

        The erasure completes even if its caller disconnects. Raises OutcomeUnknownError, StoreUnavailable.
        """
        return await self._tasks.complete(self._erase(entry))

    async def _erase(self, entry: Entry) -> Entry:
        if not entry.record.erased_at:
            # The media first: only the records name them. Earlier records name the partial images of a failed job.
            history = self._stream.history(entry.record.id, 0)
            await self._store.delete({key async for each in history for key in _media_keys(each.record)})
            entry = await self._writer.update(entry, _mark_erased)
        await self._stream.delete_earlier(entry)
        return entry


def _media_keys(record: JobRecord) -> Iterator[str]:
    """Yield the keys of a record's results, partial images and inputs."""
    yield from (artifact.media.key for artifact in record.done.artifacts)
    yield from (image.media.key for image in (*record.partial_images, *record.done.partial_images))
    yield from record.upload_keys


def _mark_erased(record: JobRecord) -> bool:
    if record.erased_at:
        return False
    transitions.erase(record)
    return True
