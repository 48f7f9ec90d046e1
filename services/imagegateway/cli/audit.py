"""`imagegateway audit`: administrative calls and changes of keys."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import TYPE_CHECKING, Final

from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.output import print_list, print_table, when

if TYPE_CHECKING:
    from imagegateway.admin.v1.audit_event_pb2 import AuditActor, AuditEvent

_LARGEST_PAGE: Final = 100


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its action."""
    actions = commands.add_parser("audit", help="list administrative calls and changes of keys").add_subparsers(
        required=True, metavar="ACTION"
    )
    listing = actions.add_parser("list", help="list audit events, newest first")
    listing.add_argument("--tenant", default="", help="only events about this tenant or by its keys")
    listing.add_argument("--key", default="", metavar="ID", help="only events about this key or by it")
    listing.add_argument("--method", default="", help="only events of this method, such as CreateKey")
    listing.add_argument("--limit", type=_count, default=50, metavar="N", help="events to list (default 50)")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _list(options: argparse.Namespace) -> int:
    request = pb.ListAuditEventsRequest(
        tenant=options.tenant,
        key_id=options.key,
        method=options.method,
        page_size=min(options.limit, _LARGEST_PAGE),
    )
    with connected() as gateway:
        pages = gateway.pages(gateway.admin.ListAuditEvents, request)
        events = list(islice((event for page in pages for event in page.data), options.limit))
    if options.json:
        print_list(events)
    else:
        header = ("time (UTC)", "actor", "method", "target", "tenant", "outcome", "address", "fields")
        print_table(header, map(_row, events))
    return 0


def _row(event: AuditEvent) -> tuple[str, ...]:
    fields = " ".join(f"{name}={value!r}" for name, value in sorted(event.fields.items()))
    outcome = f"{event.outcome} ({event.error})" if event.error else event.outcome
    return (
        when(event.created_at),
        _actor(event.actor),
        event.method,
        event.target,
        event.tenant,
        outcome,
        event.address,
        fields,
    )


def _actor(actor: AuditActor) -> str:
    if actor.type == "key":
        return f"key {actor.id} of {actor.tenant}"
    return f"{actor.type} {actor.name or actor.id}"
