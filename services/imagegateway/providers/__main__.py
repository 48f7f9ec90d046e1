"""Server of provider families: `python -m imagegateway.providers [FAMILY…]`, all of them by default."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.platform import settings
from imagegateway.platform.addresses import UnixAddress
from imagegateway.platform.internal_tls import InternalTls, Role
from imagegateway.platform.listener import Listener
from imagegateway.platform.process import run
from imagegateway.platform.secret_files import SecretWatch
from imagegateway.providers.kit.driver import HttpFamily
from imagegateway.providers.kit.parallel import in_parallel
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.servicer import serve
from imagegateway.providers.registry import FAMILIES
from imagegateway.providers.setting_names import check_routes, watch_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagegateway.platform.addresses import Address
    from imagegateway.platform.process import Process
    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.family import Family
    from imagegateway.providers.registry import FamilyEntry

GRACE: Final = 10.0
"""Seconds that running calls get to end under `imagegateway up`, which an operator waits for."""
GRACE_ALONE: Final = 300.0
"""Seconds that running calls get to end while other replicas take new ones: a slow model takes minutes."""


def main(families: Mapping[str, FamilyEntry], *, alone: bool = False) -> None:
    """Serve families until SIGTERM: all of them at one address, else each on a UNIX socket of its name.

    `alone`: without `imagegateway up`.
    """

    async def body(process: Process) -> None:
        current = settings.current()
        check_routes(current)
        watch_keys(current, _routes(families.values()))
        if current.source.secret_files:
            process.supervisor.spawn("secret_files", SecretWatch(current.source.secret_files).follow())
        store = MediaStore.open(current.media_url)
        decode_budget = DecodeBudget(current.decode_pixels)
        spool = ResponseSpool(current.answer_memory * 1024**2, current.data_dir / "replies")
        opened = {name: _open(entry, current, store, decode_budget, spool) for name, entry in families.items()}
        listener = Listener(
            _addresses(current, families),
            InternalTls.open(current.internal, Role.PROVIDERS),
            frozenset({Role.ROUTER}),
        )
        server = await serve(opened.values(), listener)
        process.supervisor.spawn("health", process.report_readiness(server.set_ready))
        try:
            await process.until_stopped()
        finally:
            await server.stop(GRACE_ALONE if alone else GRACE)
            await in_parallel(family.close() for family in opened.values())

    run(body, "providers" if len(families) > 1 else next(iter(families)), alone=alone)


def _routes(families: Iterable[FamilyEntry]) -> set[str]:
    return {route.name for family in families for model in family.models for route in model.routes}


def _addresses(current: Settings, families: Iterable[str]) -> tuple[Address, ...]:
    if current.internal.providers_listen:
        return (current.internal.providers_listen,)
    return tuple(UnixAddress(current.socket(family)) for family in families)


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
        outbound=Outbound.open(current),
        store=store,
        decode_budget=decode_budget,
        spool=spool,
    )


def start(*arguments: str) -> None:
    """Run provider servers until they must stop. `arguments`: names of families, all of them by default."""
    parser = argparse.ArgumentParser(prog="python -m imagegateway.providers", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    names = parser.parse_args(arguments).families or list(FAMILIES)
    if unknown := [name for name in names if name not in FAMILIES]:
        parser.error(f"unknown family {unknown[0]}; choose from {', '.join(FAMILIES)}")
    main({name: FAMILIES[name] for name in names})


if __name__ == "__main__":
    start(*sys.argv[1:])
