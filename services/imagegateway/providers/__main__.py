"""Server of provider families: `python -m imagegateway.providers [FAMILY…]`, all of them by default."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform import logs, settings
from imagegateway.platform.grpc_server import run
from imagegateway.providers.kit.driver import HttpFamily
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.servicer import serve
from imagegateway.providers.registry import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.family import Family
    from imagegateway.providers.registry import FamilyEntry

GRACE: Final = 10.0
"""Seconds that running calls get to end."""


def main(families: Mapping[str, FamilyEntry]) -> None:
    """Serve each family on a UNIX socket of its name, until SIGTERM."""
    current = settings.current()
    logs.configure(current, "providers" if len(families) > 1 else next(iter(families)))

    async def body(stop: asyncio.Event) -> None:
        store = MediaStore.open(current.media_url)
        decode_budget = DecodeBudget(current.decode_pixels)
        spool = ResponseSpool(current.answer_memory * 1024**2, current.data_dir / "replies")
        opened = {name: _open(entry, current, store, decode_budget, spool) for name, entry in families.items()}
        servers = [await serve(family, current.socket(name)) for name, family in opened.items()]
        await stop.wait()
        async with asyncio.TaskGroup() as stopping:
            for server in servers:
                stopping.create_task(server.stop(GRACE))
        async with asyncio.TaskGroup() as closing:
            for family in opened.values():
                closing.create_task(family.close())

    run(body, "providers")


def _open(
    entry: FamilyEntry, current: Settings, store: MediaStore, decode_budget: DecodeBudget, spool: ResponseSpool
) -> Family:
    """Return a family, ready to serve. Raises SettingError."""
    if entry.opener:
        return entry.load_opener()(current, store, decode_budget)
    return HttpFamily(
        entry.name,
        entry.models,
        entry.load_adapters(),
        settings=current,
        outbound=Outbound(UrlGuard(current.allow_hosts)),
        store=store,
        decode_budget=decode_budget,
        spool=spool,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m imagegateway.providers", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    names = parser.parse_args().families or list(FAMILIES)
    if unknown := [name for name in names if name not in FAMILIES]:
        parser.error(f"unknown family {unknown[0]}; choose from {', '.join(FAMILIES)}")
    main({name: FAMILIES[name] for name in names})
