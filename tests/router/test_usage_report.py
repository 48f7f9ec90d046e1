"""Usage reports as callers ask for them: parameters, scopes, JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict
from imagegateway.jobs.usage.query import Report, Row, Totals, UsageQuery
from imagegateway.keys.api_keys import ApiKey
from imagegateway.keys.policy import ALL_SCOPES, DEFAULT_SCOPES
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context, usage_report
from imagegateway.router.usage_service import RestUsageService, UsageService
from imagegateway.v1 import usage_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.router.call_context import Call

NOW = 1_795_953_600.0  # 2026-11-29T12:00:00Z
UNUSED: Any = None


def call(*, admin: bool = False, **metadata: str) -> Call:
    begun = call_context.begin("GetUsage", metadata, rest=True)
    scopes = ALL_SCOPES if admin else DEFAULT_SCOPES
    begun.key = ApiKey(id="k1", tenant="acme", name="", created_at=0, scopes=scopes)
    return begun


def read(*, admin: bool = False, **fields: Any) -> UsageQuery:
    return usage_report.read_request(pb.GetUsageRequest(**fields), call(admin=admin), NOW)


class FixedUsage:
    """Usage with given pages."""

    def __init__(self, *pages: list[Row]) -> None:
        self._pages = list(pages)
        self.queries: list[UsageQuery] = []

    async def report(self, query: UsageQuery) -> Report:
        self.queries.append(query)
        number = int(query.token or 0)
        more = number + 1 < len(self._pages)
        return Report(self._pages[number], Totals(3, 4, 1, 5), str(number + 1) if more else "")


def test_period_defaults_to_the_current_month() -> None:
    assert (read().start, read().end) == ("2026-11-01", "")


def test_caller_sees_the_own_tenant_and_an_admin_all() -> None:
    assert read().tenant == "acme"
    assert read(tenant="acme").tenant == "acme"
    assert read(admin=True).tenant is None
    assert read(admin=True, tenant="other", group_by="tenant").tenant == "other"


@pytest.mark.parametrize(("param", "fields"), [("tenant", {"tenant": "other"}), ("group_by", {"group_by": "tenant"})])
def test_other_tenants_need_the_scope_admin(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        read(**fields)
    assert caught.value.reason == ErrorReason.ERROR_REASON_INSUFFICIENT_SCOPE
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("start", {"start": "yesterday"}),
        ("start", {"start": "2026-02-30"}),
        ("end", {"end": "1"}),
        ("end", {"start": "2026-11-02", "end": "2026-11-02"}),
        ("end", {"end": "2026-10-01"}),
        ("group_by", {"group_by": "colour"}),
        ("group_by", {"group_by": "model,"}),
        ("page_size", {"page_size": -1}),
    ],
)
def test_invalid_parameter_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        read(**fields)
    assert (caught.value.reason, caught.value.param) == (ErrorReason.ERROR_REASON_INVALID_VALUE, param)


async def test_rows_have_the_grouped_fields_only() -> None:
    usage = FixedUsage([Row(("2026-11-29", "k1", "red"), Totals(2, 0, 1, 40_000_001))])
    call()
    request = pb.GetUsageRequest(group_by="key, day,metadata.team")
    response = await UsageService(usage).GetUsage(request, UNUSED)
    assert MessageToDict(response, preserving_proto_field_name=True) == {
        "object": "list",
        "data": [
            {
                "day": "2026-11-29",
                "key_id": "k1",
                "metadata": {"team": "red"},
                "requests": 2,
                "images": 0,
                "failed": 1,
                "cost": {"amount": 0.040000001, "currency": "USD"},
            }
        ],
        "total": {"requests": 3, "images": 4, "failed": 1, "cost": {"amount": 5e-09, "currency": "USD"}},
    }


async def csv_of(usage: FixedUsage, **fields: Any) -> list[list[str]]:
    call(accept="text/csv;q=0.9, */*")
    bodies = [
        body async for body in RestUsageService(UsageService(usage)).GetUsage(pb.GetUsageRequest(**fields), UNUSED)
    ]
    assert {body.content_type for body in bodies} == {"text/csv; charset=utf-8"}
    data = b"".join(body.data for body in bodies)
    assert data.endswith(b"\r\n")
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


async def test_csv_has_all_pages() -> None:
    usage = FixedUsage([Row(("a",), Totals(1, 1, 0, 1))], [Row(("b",), Totals(2, 2, 0, 12_500_000_000))])
    assert await csv_of(usage, group_by="model", page_size=1) == [
        ["model", "requests", "images", "failed", "cost", "currency"],
        ["a", "1", "1", "0", "0.000000001", "USD"],
        ["b", "2", "2", "0", "12.5", "USD"],
    ]


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
async def test_csv_cells_are_no_formulas(value: str) -> None:
    usage = FixedUsage([Row((value,), Totals(1, 1, 0, 0))])
    rows = await csv_of(usage, group_by="user")
    assert rows[1] == [f"'{value}", "1", "1", "0", "0", "USD"]


async def test_csv_quotes_separators_and_line_ends() -> None:
    usage = FixedUsage([Row(('a,"b"\r\nc',), Totals(1, 1, 0, 0))])
    assert (await csv_of(usage, group_by="user"))[1][0] == 'a,"b"\r\nc'


async def test_csv_header_names_metadata_safely() -> None:
    assert (await csv_of(FixedUsage([]), group_by="metadata.=x"))[0][0] == "metadata.=x"
