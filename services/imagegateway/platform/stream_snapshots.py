"""Snapshots of the JetStream streams of an account, in a folder: `<stream>.json` and `<stream>.tar.s2`.

The server makes and restores the archives (`$JS.API.STREAM.SNAPSHOT`, `$JS.API.STREAM.RESTORE`), so a restored stream
has the sequences of the original. `nats account restore` of the NATS command line reads the archives, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from imagegateway.platform.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nats.aio.client import Client

_API: Final = "$JS.API.STREAM"
_SECONDS: Final = 30.0
"""Longest wait for one answer or one piece of a snapshot."""
_CHUNK_BYTES: Final = 128 * 1024
_COMPLETE: Final = "204"
"""Status of the message after the last piece of a whole snapshot."""
_DESCRIPTION: Final = ".json"
_ARCHIVE: Final = ".tar.s2"


class SnapshotError(Exception):
    """The server refused a snapshot or a restore."""


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """Size of one stream in a backup."""

    stream: str
    messages: int
    size: int
    """Bytes of the archive."""


async def save_streams(client: Client, folder: Path) -> list[StreamSnapshot]:
    """Save each stream of the account that the server keeps in files, with its consumers.

    Streams in memory hold nothing that outlives a restart. Raises SnapshotError, nats.errors.Error, OSError.
    """
    names = [info["config"]["name"] for info in await _streams(client) if info["config"]["storage"] == "file"]
    return [await _save(client, name, folder) for name in sorted(names)]


async def restore_streams(client: Client, folder: Path, replicas: int) -> list[StreamSnapshot]:
    """Restore all streams of a folder into an account that has none of them, with `replicas` copies each.

    Raises SnapshotError, for a stream that exists as well, nats.errors.Error, OSError.
    """
    names = _saved(folder)
    if not names:
        raise SnapshotError(f"{folder} holds no backup")
    present = {info["config"]["name"] for info in await _streams(client)}
    if found := present.intersection(names):
        raise SnapshotError(f"the stream {min(found)} exists: restore into a NATS account without streams")
    return [await _restore(client, name, folder, replicas) for name in names]


async def _streams(client: Client) -> list[dict[str, Any]]:
    """Return configuration and state of all streams."""
    found: list[dict[str, Any]] = []
    while True:
        page = await _ask(client, f"{_API}.LIST", {"offset": len(found)})
        found += page.get("streams") or []
        if len(found) >= page["total"]:
            return found


async def _save(client: Client, name: str, folder: Path) -> StreamSnapshot:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    request = {"deliver_subject": inbox, "chunk_size": _CHUNK_BYTES, "no_consumers": False, "jsck": True}
    description = await _ask(client, f"{_API}.SNAPSHOT.{name}", request)
    path = folder / f"{name}{_ARCHIVE}"
    write_private(path, "")
    with path.open("wb") as archive:
        while True:
            message = await subscription.next_msg(_SECONDS)
            if not message.data:
                status = (message.headers or {}).get("Status", _COMPLETE)
                if status != _COMPLETE:
                    raise SnapshotError(f"{name}: the snapshot ended with status {status}")
                break
            await asyncio.to_thread(archive.write, message.data)
            if message.reply:
                await message.respond(b"")  # the server sends a window of pieces
    await subscription.unsubscribe()
    kept = {"config": description["config"], "state": description["state"]}
    write_private(folder / f"{name}{_DESCRIPTION}", orjson.dumps(kept).decode())
    return StreamSnapshot(name, description["state"]["messages"], path.stat().st_size)


async def _restore(client: Client, name: str, folder: Path, replicas: int) -> StreamSnapshot:
    description = orjson.loads((folder / f"{name}{_DESCRIPTION}").read_bytes())
    description["config"]["num_replicas"] = replicas
    started = await _ask(client, f"{_API}.RESTORE.{name}", description)
    path = folder / f"{name}{_ARCHIVE}"
    for piece in _pieces(path):
        answer = await client.request(started["deliver_subject"], piece, _SECONDS)
        if answer.data:
            _checked(name, orjson.loads(answer.data))
    ended = await client.request(started["deliver_subject"], b"", _SECONDS)
    restored = _checked(name, orjson.loads(ended.data))
    return StreamSnapshot(name, restored["state"]["messages"], path.stat().st_size)


def _saved(folder: Path) -> list[str]:
    """Return the names of the streams that a folder holds."""
    return sorted(path.name.removesuffix(_DESCRIPTION) for path in folder.glob(f"*{_DESCRIPTION}"))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as archive:
        while piece := archive.read(_CHUNK_BYTES):
            yield piece


async def _ask(client: Client, subject: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the response of JetStream's API. Raises SnapshotError for a refusal."""
    answer = await client.request(subject, orjson.dumps(request), _SECONDS)
    return _checked(subject.rpartition(".")[2], orjson.loads(answer.data))


def _checked(name: str, response: dict[str, Any]) -> dict[str, Any]:
    if error := response.get("error"):
        raise SnapshotError(f"{name}: {error.get('description', 'refused')}")
    return response
