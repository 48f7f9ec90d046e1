"""Reference page at `/docs`: the API description, shown by Redoc. Files are read from disk, none stays in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FOLDER: Final = Path(__file__).with_name("reference")
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'unsafe-inline'",  # Redoc writes its styles into the page
        "img-src data:",
        "connect-src 'self'",
        "worker-src blob:",  # the search index
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_FILES: Final = {
    "/docs": (
        "index.html",
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-cache",
        },
    ),
    "/docs/redoc.js": (
        "redoc.js",
        {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "max-age=86400"},
    ),
}
"""File and response headers by path."""


def add_reference_page(app: web.Application) -> None:
    """Add the page's routes."""
    for path, (name, headers) in _FILES.items():
        app.router.add_get(path, _serve(_FOLDER / name, headers))


def _serve(file: Path, headers: dict[str, str]) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def serve(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(file, headers=headers)

    return serve
