"""Backend protocol of the media store: the operations that differ between a directory and a bucket.

`imagegateway.media.store` is the only user of backends and checks keys first. Absent objects raise FileNotFoundError.
All other failures raise OSError or obstore's BaseError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
Bytes: TypeAlias = bytes | memoryview


class ObjectWriter(Protocol):
    """Writer of one object. Calls are sequential and never cancelled."""

    def write(self, chunks: list[Bytes]) -> Awaitable[None]:
        """Append chunks."""

    def commit(self, tail: list[Bytes]) -> Awaitable[None]:
        """Append the last chunks, then make the object visible and durable. Replace an object of the same key."""

    def abort(self) -> Awaitable[None]:
        """Discard all written chunks. After a failed `commit` the object itself may remain."""


class Backend(Protocol):
    """Storage of objects by key."""

    def open_writer(self, key: str) -> ObjectWriter:
        """Return a writer for a new object."""

    async def read(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`, fewer only at the object's end."""

    async def read_all(self, key: str) -> bytes:
        """Return the whole object."""

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        """Run `work` on the object's bytes in a thread, and return its result. `work` must not keep the bytes."""

    async def size(self, key: str) -> int:
        """Return an object's length in bytes."""

    async def move(self, key: str, to: str) -> None:
        """Rename an object within its day. Replace an object of the same name."""

    async def delete(self, keys: list[str]) -> None:
        """Delete objects. Absent objects are no error."""

    async def days(self, kind: str) -> list[str]:
        """Return the names of the folders under `kind`."""

    async def delete_day(self, folder: str) -> int:
        """Delete a folder, and return its number of objects."""

    async def check(self) -> None:
        """Make a small write. Raise the error of a failed one."""
