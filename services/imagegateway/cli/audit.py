"""`imagegateway audit`: administrative calls and changes of keys."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.cli.gateway import connected
from imagegateway.cli.messages import print_list
from imagegateway.cli.options import Json
from imagegateway.cli.target import Connection
from imagegateway.cli.terminal import print_table, when

if TYPE_CHECKING:
    from imagegateway.admin.v1.audit_event_pb2 import AuditActor, AuditEvent

_LARGEST_PAGE: Final = 100
app = App(name="audit")


@app.command(name="list")
def list_events(
    *,
    tenant: Annotated[str, Parameter(help="Only events about this tenant or by its keys.")] = "",
    key: Annotated[str, Parameter(help="Only events about this key or by it.", metavar="ID")] = "",
    method: Annotated[str, Parameter(help="Only events of this method, such as CreateKey.")] = "",
    limit: Annotated[int, Parameter(help="Events to list.", validator=Number(gte=1), metavar="N")] = 50,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List audit events, newest first."""
    request = pb.ListAuditEventsRequest(tenant=tenant, key_id=key, method=method, page_size=min(limit, _LARGEST_PAGE))
    with connected(connection) as gateway:
        pages = gateway.pages(gateway.admin.ListAuditEvents, request)
        events = list(islice((event for page in pages for event in page.data), limit))
    if json:
        print_list(events)
    else:
        header = ("time (UTC)", "actor", "method", "target", "tenant", "outcome", "address", "fields")
        print_table(header, map(_row, events))


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
