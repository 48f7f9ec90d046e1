"""Queries of usage: period, grouping, pages and page tokens."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final

from imagegateway.platform.errors import invalid
from imagegateway.platform.pages import decode_token, encode_token, unknown_token

METADATA: Final = "metadata."
COLUMNS: Final = {
    "model": "model",
    "provider": "provider",
    "key": "key_id",
    "tenant": "tenant",
    "day": "day",
    "user": "user",
    "modality": "modality",
}
"""Columns by the names of `group_by`."""
MAX_GROUPS: Final = 5
"""Most names of `group_by`."""
_NAME: Final = re.compile(r"metadata\..{1,64}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over jobs. `cost` in nano-dollars."""

    requests: int = 0
    images: int = 0
    failed: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Sums of one group: its values, in the order of `UsageQuery.order`."""

    values: tuple[str, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class Report:
    """Page of a report, sums over all pages, and the token of the next page (empty: none)."""

    rows: list[Row]
    total: Totals
    next_token: str


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Request for a page of a report.

    `start` and `end` are days (`YYYY-MM-DD`); empty: without limit. `tenant` None: all tenants.
    """

    tenant: str | None
    start: str = ""
    end: str = ""
    group_by: tuple[str, ...] = ()
    size: int = 100
    token: str = ""
    order: tuple[str, ...] = field(init=False)
    """Names of the groups in the order of the rows: the day first."""

    def __post_init__(self) -> None:
        """Raise GatewayError for an invalid grouping."""
        names = self.group_by
        for name in names:
            if name not in COLUMNS and not _NAME.fullmatch(name):
                known = ", ".join(COLUMNS)
                raise invalid("group_by", f"group_by takes {known} and metadata.<name>, not {name[:40]!r}.")
        if len(names) > MAX_GROUPS or len(set(names)) < len(names):
            raise invalid("group_by", f"group_by takes at most {MAX_GROUPS} different names.")
        object.__setattr__(self, "order", tuple(sorted(names, key=lambda name: name != "day")))

    def rows_sql(self) -> tuple[str, list[str | int]]:
        """Return the statement of the page's rows, and its values. Raises GatewayError for an invalid token."""
        columns, joins, values = self._columns()
        where, limits = self._where()
        if self.token:
            where.append(f"({', '.join(columns) or '1'}) > ({', '.join('?' * len(columns)) or '1'})")
            limits += _read_token(self.token, self.order)
        selected = "".join(f"{column}, " for column in columns)
        grouping = f"group by {', '.join(columns)} order by {', '.join(columns)} " if columns else ""
        statement = (
            f"select {selected}{_SUMS} from usage {joins}where {' and '.join(where)} "  # noqa: S608  constants only
            f"{grouping}limit {self.size + 1:d}"
        )
        return statement, [*values, *limits]

    def total_sql(self) -> tuple[str, list[str | int]]:
        """Return the statement of the sums over all pages, and its values."""
        where, values = self._where()
        return f"select {_SUMS} from usage where {' and '.join(where)}", values  # noqa: S608  constants only

    def token_after(self, row: Row) -> str:
        """Return the token of the page after a row."""
        return encode_token(json.dumps([self.order, row.values]))

    def _columns(self) -> tuple[list[str], str, list[str | int]]:
        """Return the columns of the groups, the joins that they need, and the values of the joins."""
        columns, joins, values = [], "", []
        for number, name in enumerate(self.order):
            if name in COLUMNS:
                columns.append(f"usage.{COLUMNS[name]}")
                continue
            columns.append(f"coalesce(label{number}.value, '')")
            joins += f"left join labels label{number} on label{number}.usage_id = usage.id "
            joins += f"and label{number}.name = ? "
            values.append(name.removeprefix(METADATA))
        return columns, joins, list(values)

    def _where(self) -> tuple[list[str], list[str | int]]:
        where, values = ["usage.requests > 0"], []
        for condition, value in (
            ("usage.tenant = ?", self.tenant),
            ("usage.day >= ?", self.start or None),
            ("usage.day < ?", self.end or None),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        return where, list(values)


_SUMS: Final = (
    "coalesce(sum(requests), 0), coalesce(sum(images), 0), coalesce(sum(failed), 0), coalesce(sum(cost), 0)"
)


def _read_token(token: str, order: tuple[str, ...]) -> list[str]:
    try:
        names, values = json.loads(decode_token(token))
        if tuple(names) == order and len(values) == len(order) and all(isinstance(value, str) for value in values):
            return list(values)
    except (ValueError, TypeError):
        pass
    raise unknown_token("this report")
