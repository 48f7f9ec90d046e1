"""Media store in a bucket: any object store that obstore supports."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
from obstore.store import from_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.media.backend import Bytes
    from obstore import AsyncWritableFile

_PART: Final = 5 * 1024 * 1024
"""Bytes of a part of a multipart upload: S3's minimum."""
_PAGE: Final = 1000
"""Objects per page of a listing."""
_CHECK_KEY: Final = "write-check"
"""Key of the empty object that each check overwrites."""

T = TypeVar("T")


class Bucket:
    """Backend in a bucket."""

    def __init__(self, url: str) -> None:
        """Parse the URL, without a connection. Raises ValueError or BaseError for a URL that obstore refuses."""
        # No client options: they would replace those of the environment, such as AWS_ALLOW_HTTP.
        self._store = from_url(url, retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=30)})

    def open_writer(self, key: str) -> BucketWriter:
        writer = obstore.open_writer_async(self._store, key, buffer_size=_PART, max_concurrency=2)
        return BucketWriter(writer)

    async def read(self, key: str, start: int, length: int) -> bytes:
        return bytes(await obstore.get_range_async(self._store, key, start=start, length=length))

    async def read_all(self, key: str) -> bytes:
        result = await obstore.get_async(self._store, key)
        return bytes(await result.bytes_async())

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        data = await self.read_all(key)
        return await asyncio.to_thread(work, memoryview(data))

    async def size(self, key: str) -> int:
        return (await obstore.head_async(self._store, key))["size"]

    async def move(self, key: str, to: str) -> None:
        await obstore.rename_async(self._store, key, to)  # the server copies the bytes

    async def delete(self, keys: list[str]) -> None:
        try:
            await obstore.delete_async(self._store, keys)
        except FileNotFoundError:  # some stores stop at the first absent object
            for key in keys:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)

    async def days(self, kind: str) -> list[str]:
        listing = await obstore.list_with_delimiter_async(self._store, kind)
        return [prefix.rsplit("/", 1)[-1] for prefix in listing["common_prefixes"]]

    async def delete_day(self, folder: str) -> int:
        count = 0
        async for page in obstore.list(self._store, folder, chunk_size=_PAGE):
            await self.delete([entry["path"] for entry in page])
            count += len(page)
        return count

    async def check(self) -> None:
        await obstore.list_with_delimiter_async(self._store)  # some servers create the bucket for a write
        await obstore.put_async(self._store, _CHECK_KEY, b"")


class BucketWriter:
    """obstore's writer: one request up to the size of a part, a multipart upload beyond."""

    def __init__(self, writer: AsyncWritableFile) -> None:
        self._writer = writer

    async def write(self, chunks: list[Bytes]) -> None:
        for chunk in chunks:
            await self._writer.write(chunk)

    async def commit(self, tail: list[Bytes]) -> None:
        await self.write(tail)
        await self._writer.close()

    async def abort(self) -> None:
        if not await self._writer.closed():
            # With the type of an exception the writer aborts instead of closing.
            await self._writer.__aexit__(asyncio.CancelledError, None, None)
