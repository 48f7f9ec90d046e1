"""`imagegateway usage`: what jobs have cost, and how many there were."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from imagegateway.cli.gateway import connected
from imagegateway.cli.output import print_json, print_table
from imagegateway.v1 import usage_service_pb2 as pb
from imagegateway.v1.rest_edge_pb2_grpc import RestUsageServiceStub
from imagegateway.v1.usage_service_pb2_grpc import UsageServiceStub

if TYPE_CHECKING:
    from imagegateway.cli.gateway import Gateway

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_METADATA = "metadata."


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = commands.add_parser("usage", help="report requests, images and cost of all tenants")
    command.add_argument("--start", type=_day, help="first day (UTC); default: that of this month")
    command.add_argument("--end", type=_day, help="day after the last one; default: no end")
    command.add_argument(
        "--group-by",
        default="",
        metavar="A,B",
        help="model, provider, key, tenant, day, user, modality, metadata.<name>",
    )
    command.add_argument("--tenant", default="", help="only this tenant")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    command.set_defaults(run=_usage)


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-11-01")
    return text


def _usage(options: argparse.Namespace) -> int:
    request = pb.GetUsageRequest(
        start=options.start or "", end=options.end or "", group_by=options.group_by, tenant=options.tenant
    )
    with connected() as gateway:
        if options.csv:
            get_usage = RestUsageServiceStub(gateway.channel).GetUsage
            for body in gateway.stream(get_usage, request, ("accept", "text/csv")):
                sys.stdout.write(body.data.decode())
            return 0
        report = _whole_report(gateway, request)
    if options.json:
        print_json(report)
    else:
        _print(report, [name.strip() for name in options.group_by.split(",") if name.strip()])
    return 0


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
