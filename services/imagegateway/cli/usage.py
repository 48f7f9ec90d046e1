"""`imagegateway usage`: what jobs have cost, and how many there were."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Group, Parameter
from cyclopts.validators import mutually_exclusive
from imagegateway.cli.gateway import connected
from imagegateway.cli.messages import print_json
from imagegateway.cli.options import JSON_HELP
from imagegateway.cli.target import Connection
from imagegateway.cli.terminal import print_table
from imagegateway.v1 import usage_service_pb2 as pb
from imagegateway.v1.rest_edge_pb2_grpc import RestUsageServiceStub
from imagegateway.v1.usage_service_pb2_grpc import UsageServiceStub

if TYPE_CHECKING:
    from imagegateway.cli.gateway import Gateway

_METADATA: Final = "metadata."
_EXAMPLES = """Examples:
  imagegateway usage --group-by model,day
  imagegateway usage --start 2026-11-01 --end 2026-12-01 --csv > november.csv"""
app = App(name="usage", help_epilogue=_EXAMPLES)
_FORMAT: Final = Group(validator=mutually_exclusive)


def _check_day(_type: object, text: str) -> None:
    """Raise ValueError for a text that is no day."""
    if text and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{text!r} is no day such as 2026-11-01")


_Day = Annotated[str, Parameter(validator=_check_day, metavar="DAY")]


@app.default
def usage(
    *,
    start: Annotated[_Day, Parameter(help="First day (UTC); default: that of this month.")] = "",
    end: Annotated[_Day, Parameter(help="Day after the last one; default: no end.")] = "",
    group_by: Annotated[
        str,
        Parameter(help="model, provider, key, tenant, day, user, modality, metadata.<name>", metavar="A,B"),
    ] = "",
    tenant: Annotated[str, Parameter(help="Only this tenant.")] = "",
    json: Annotated[bool, Parameter(help=JSON_HELP, group=_FORMAT)] = False,
    csv: Annotated[bool, Parameter(help="Print CSV.", group=_FORMAT)] = False,
    connection: Connection = Connection(),
) -> None:
    """Report requests, images and cost of all tenants."""
    request = pb.GetUsageRequest(start=start, end=end, group_by=group_by, tenant=tenant)
    with connected(connection) as gateway:
        if csv:
            get_usage = RestUsageServiceStub(gateway.channel).GetUsage
            for body in gateway.stream(get_usage, request, ("accept", "text/csv")):
                sys.stdout.write(body.data.decode())
            return
        report = _whole_report(gateway, request)
    if json:
        print_json(report)
    else:
        _print(report, [name.strip() for name in group_by.split(",") if name.strip()])


def _whole_report(gateway: Gateway, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
    """Return all pages of a report as one."""
    report = pb.GetUsageResponse()
    request.page_size = 1000
    for page in gateway.pages(UsageServiceStub(gateway.channel).GetUsage, request):
        report.object = page.object
        report.data.extend(page.data)
        report.total.CopyFrom(page.total)
    return report


def _print(report: pb.GetUsageResponse, names: list[str]) -> None:
    rows = [[*(_value(row, name) for name in names), *_sums(row)] for row in report.data]
    total = ["total", *("" for _ in names[1:]), *_sums(report.total)]
    print_table([*names, "requests", "images", "failed", "cost (USD)"], [*rows, total] if names else rows)


def _value(row: pb.UsageRow, name: str) -> str:
    if name.startswith(_METADATA):
        return row.metadata[name.removeprefix(_METADATA)]
    return str(getattr(row, "key_id" if name == "key" else name))


def _sums(row: pb.UsageRow) -> list[str]:
    return [str(row.requests), str(row.images), str(row.failed), f"{row.cost.amount:.9f}".rstrip("0").rstrip(".")]
