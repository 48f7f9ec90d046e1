"""Usage reports for callers: reads the request, checks its scope, and renders JSON and CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.usage.query import COLUMNS, METADATA, UsageQuery
from imagegateway.keys.policy import Scope
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.money import CURRENCY, NANO, decimal_usd
from imagegateway.platform.pages import page_size
from imagegateway.v1 import usage_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.jobs.usage.query import Row, Totals
    from imagegateway.router.call_context import Call

_MAX_PAGE: Final = 1000
_DEFAULT_PAGE: Final = 100
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of cells that spreadsheets run as formulas."""


def read_request(request: pb.GetUsageRequest, call: Call, now: float) -> UsageQuery:
    """Return the query of a request. `now`: Unix seconds.

    Raises GatewayError INVALID_VALUE naming the parameter, and INSUFFICIENT_SCOPE for other tenants' usage.
    """
    names = tuple(name.strip() for name in request.group_by.split(",")) if request.group_by else ()
    is_admin = Scope.ADMIN in call.caller.scopes
    if not is_admin:
        if request.tenant not in {"", call.tenant}:
            raise _no_admin("tenant", "the usage of another tenant")
        if "tenant" in names:
            raise _no_admin("group_by", "usage by tenant")
    size = page_size(request.page_size, _DEFAULT_PAGE, _MAX_PAGE)
    start = _day(request.start, "start") or datetime.fromtimestamp(now, UTC).date().replace(day=1)
    end = _day(request.end, "end")
    if end is not None and end <= start:
        raise invalid("end", f"end must be after the start, {start.isoformat()}.")
    return UsageQuery(
        tenant=request.tenant or (None if is_admin else call.tenant),
        start=start.isoformat(),
        end=end.isoformat() if end else "",
        group_by=names,
        size=size,
        token=request.page_token,
    )


def row(query: UsageQuery, found: Row) -> pb.UsageRow:
    """Return a row as callers see it."""
    message = totals(found.totals)
    for name, value in zip(query.order, found.values, strict=True):
        if name in COLUMNS:
            setattr(message, COLUMNS[name], value)
        else:
            message.metadata[name.removeprefix(METADATA)] = value
    return message


def totals(found: Totals) -> pb.UsageRow:
    """Return sums as callers see them."""
    return pb.UsageRow(
        requests=found.requests,
        images=found.images,
        failed=found.failed,
        cost=pb.UsageCost(amount=found.cost / NANO, currency=CURRENCY),
    )


def csv_header(query: UsageQuery) -> bytes:
    """Return the first line of the CSV of a report."""
    names = [COLUMNS.get(name, name) for name in query.order]
    return _csv_line([*names, "requests", "images", "failed", "cost", "currency"])


def csv_rows(rows: Sequence[Row]) -> bytes:
    """Return rows as CSV (RFC 4180). Cells that a spreadsheet would run as formulas begin with an apostrophe."""
    return b"".join(_csv_line([*map(_safe, each.values), *_csv_totals(each.totals)]) for each in rows)


def _csv_totals(found: Totals) -> list[str]:
    return [str(found.requests), str(found.images), str(found.failed), decimal_usd(found.cost), CURRENCY]


def _csv_line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _safe(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _day(text: str, name: str) -> date | None:
    """Return a day; None for an empty text. Raises GatewayError naming the parameter."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise invalid(name, f"{name} must be a day such as 2026-11-01 (YYYY-MM-DD, UTC).") from None


def _no_admin(param: str, what: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_INSUFFICIENT_SCOPE,
        f"The API key lacks the scope admin, which {what} needs.",
        param=param,
        details={"scopes": Scope.ADMIN},
    )
