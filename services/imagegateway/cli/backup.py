"""`imagegateway backup`: jobs, keys, limits and usage in NATS, saved to a folder and restored from it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from imagegateway.cli.connection import connected
from imagegateway.cli.errors import CommandError
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import print_document, print_table
from imagegateway.platform import stream_snapshots
from imagegateway.platform.stream_snapshots import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.platform.settings import Settings
    from imagegateway.platform.stream_snapshots import StreamSnapshot
    from nats.aio.client import Client

_EXAMPLES = """Examples:
  imagegateway backup save /var/backups/imagegateway/2026-11-29
  imagegateway backup restore /var/backups/imagegateway/2026-11-29"""
app = App(name="backup", help_epilogue=_EXAMPLES)
_Folder = Annotated[Path, Parameter(help="Folder of the backup.")]


@app.command
def save(folder: _Folder, /, *, json: Json = False) -> int:
    """Save all streams and buckets in NATS while the gateway runs. Copy the media store afterwards."""
    if folder.exists() and any(folder.iterdir()):
        raise CommandError(f"{folder} is not empty: a backup needs an empty folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return connected(partial(_save, folder, as_json=json))


@app.command
def restore(folder: _Folder, /, *, json: Json = False) -> int:
    """Restore a backup into a NATS account without streams, before any router starts."""
    return connected(partial(_restore, folder, as_json=json))


async def _save(folder: Path, _current: Settings, client: Client, *, as_json: bool) -> int:
    try:
        _print(await stream_snapshots.save_streams(client, folder), as_json=as_json)
    except SnapshotError as error:
        raise CommandError(f"the backup failed: {error}") from None
    return 0


async def _restore(folder: Path, current: Settings, client: Client, *, as_json: bool) -> int:
    try:
        _print(await stream_snapshots.restore_streams(client, folder, current.nats_replicas), as_json=as_json)
    except SnapshotError as error:
        raise CommandError(f"the restore failed: {error}") from None
    return 0


def _print(snapshots: Sequence[StreamSnapshot], *, as_json: bool) -> None:
    if as_json:
        print_document({"object": "backup", "data": [asdict(each) for each in snapshots]})
    else:
        rows = [(each.stream, str(each.messages), str(each.size)) for each in snapshots]
        print_table(("STREAM", "MESSAGES", "BYTES"), rows)
