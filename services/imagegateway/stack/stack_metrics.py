"""Metrics of the whole stack as one page: those of all processes and of Envoy, each with the label `process`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from imagegateway.stack import unix_http
from imagegateway.stack.status_server import Response, side_sockets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imagegateway.platform.settings import Settings

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_UP: Final = "imagegateway_process_up"
_ENVOY_STATS: Final = "|".join(
    (
        r"server\.(live|uptime|memory_allocated|memory_heap_size|days_until_first_cert_expiring)",
        r"listener_manager\.total_listeners_(active|draining)",
        r"listener\.\w+\.(ssl\.(handshake|connection_error)|downstream_cx_transport_socket_connect_timeout)",
        r"http\.\w+\.downstream_cx_(active|total|(ssl|http[123])_active|[rt]x_bytes_total|protocol_error)",
        r"http\.\w+\.downstream_rq_([1-5]xx|active|total|time|timeout|rx_reset|overload_close)",
        r"http\.\w+\.(no_route|rq_overload_local_reply)",
        r".*http_local_rate_limit\.rate_limited",
        r"cluster\.\w+\.membership_(healthy|total)",
        r"cluster\.\w+\.upstream_cx_(active|total|connect_fail)",
        r"cluster\.\w+\.upstream_rq_([1-5]xx|active|total|time|timeout|rx_reset|retry|pending_overflow)",
        r"connection_limit\.addresses\.(active|limited)_connections",
        r"overload\..*\.(pressure|active)",
    )
)
"""Envoy's statistics that the page shows, of more than a thousand. Their number does not depend on callers."""
ENVOY_URL: Final = f"/stats/prometheus?filter={quote(f'^({_ENVOY_STATS})$')}"


@dataclass(slots=True)
class _Family:
    """A metric: lines `# HELP` and `# TYPE`, and samples."""

    header: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)


class StackMetrics:
    """Metrics of a stack's processes, read at each request."""

    def __init__(self, settings: Settings) -> None:
        self._pages = {name: (socket, "/metrics") for name, socket in side_sockets(settings).items()}
        self._pages["envoy"] = (settings.socket("envoy-admin"), ENVOY_URL)

    async def page(self) -> Response:
        """Respond with all metrics. A process that does not answer has `imagegateway_process_up` 0 and no others."""
        texts = await asyncio.gather(*(asyncio.to_thread(_read, *place) for place in self._pages.values()))
        return Response(200, merge(dict(zip(self._pages, texts, strict=True))).encode(), _CONTENT_TYPE)


def _read(socket: Path, url: str) -> str | None:
    try:
        status, body = unix_http.request(socket, "GET", url)
    except OSError:
        return None
    return body.decode() if status == HTTPStatus.OK else None


def merge(pages: Mapping[str, str | None]) -> str:
    """Return one page of the processes' pages, with the label `process`. None: the process did not answer."""
    up = _Family([f"# HELP {_UP} 1 while the process answers.", f"# TYPE {_UP} gauge"])
    families = {_UP: up}
    for process, page in pages.items():
        up.samples.append(f'{_UP}{{process="{process}"}} {int(page is not None)}')
        _add(families, process, page or "")
    lines = (line for family in families.values() for line in (*family.header, *family.samples))
    return "\n".join(lines) + "\n"


def _add(families: dict[str, _Family], process: str, page: str) -> None:
    """Add the metrics of one process. Only its first page brings the header of a metric."""
    family = _Family()
    for line in page.splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            name = line.split(" ", 3)[2]
            family = families.setdefault(name, _Family())
            if not family.samples and line not in family.header:
                family.header.append(line)
        elif line:
            family.samples.append(_labelled(line, process))


def _labelled(sample: str, process: str) -> str:
    """Return a sample with the label `process`."""
    name, brace, rest = sample.partition("{")
    if not brace:
        name, _, value = sample.partition(" ")
        return f'{name}{{process="{process}"}} {value}'
    comma = "" if rest.startswith("}") else ","
    return f'{name}{{process="{process}"{comma}{rest}'
