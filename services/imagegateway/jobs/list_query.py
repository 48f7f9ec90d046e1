"""Queries of the job list: filters, pages and page tokens."""

from __future__ import annotations

from dataclasses import dataclass

from imagegateway.jobs import states
from imagegateway.platform.errors import invalid
from imagegateway.platform.pages import decode_token, encode_token, unknown_token


@dataclass(frozen=True, slots=True)
class Page:
    """Job ids of one page, newest first, and the token of the next page (empty: none)."""

    ids: list[str]
    next_token: str


@dataclass(frozen=True, slots=True)
class Query:
    """Request for a page of a tenant's jobs. Empty strings mean no filter and the first page.

    A page of all tenants' jobs is sorted by id, and so by time: the primary key serves it without a further index.
    """

    tenant: str | None
    """None: all tenants."""
    status: str = ""
    model: str = ""
    size: int = 20
    token: str = ""

    def sql(self) -> tuple[str, list[str]]:
        """Return the statement and its values. Raises GatewayError for an invalid status or token."""
        where, values = ["1"], list[str]()
        if self.tenant is not None:
            where.append("tenant = ?")
            values.append(self.tenant)
        if self.status:
            known = tuple(dict.fromkeys(states.PUBLIC.values()))
            if self.status not in known:
                raise invalid("status", f"status must be one of {', '.join(known)}.")
            where.append("status = ?")
            values.append(self.status)
        if self.model:
            where.append("model = ?")
            values.append(self.model)
        columns = "created_at desc, id desc" if self.tenant is not None else "id desc"
        if self.token:
            created, job_id = _read_token(self.token)
            where.append("id < ?" if self.tenant is None else "(created_at, id) < (?, ?)")
            values += [job_id] if self.tenant is None else [created, job_id]
        statement = (
            f"select id, created_at from jobs where {' and '.join(where)} "  # noqa: S608  the conditions are constants
            f"order by {columns} limit {self.size + 1:d}"
        )
        return statement, values


def page_token(created: int, job_id: str) -> str:
    """Return the token of the page after a job. `created` in Unix milliseconds."""
    return encode_token(f"{created}:{job_id}")


def _read_token(token: str) -> tuple[str, str]:
    try:
        created, job_id = decode_token(token).split(":")
        return str(int(created)), job_id
    except ValueError:
        raise unknown_token() from None
