"""Reference page: its files, headers, and the record of the vendored bundle."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from imagegateway.media.web import reference_page

from tests.media.media_gateway import gateway, settings
from tools import redoc

if TYPE_CHECKING:
    from tests.media.media_gateway import Gateway

__all__ = ["gateway", "settings"]


async def test_page_names_files_of_its_own_origin_only(gateway: Gateway) -> None:
    answer, body = await gateway.get("/docs")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "http" not in policy
    assert b"http" not in body


async def test_bundle_is_a_script_that_browsers_keep(gateway: Gateway) -> None:
    answer, body = await gateway.get("/docs/redoc.js")
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert len(body) > 1_000_000
    again, nothing = await gateway.get("/docs/redoc.js", if_none_match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")


async def test_head_of_the_page_has_its_headers_and_no_body(gateway: Gateway) -> None:
    answer, body = await gateway.send("HEAD", "/docs")
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_bundle_is_the_recorded_one() -> None:
    record = json.loads((redoc.FOLDER / "redoc.json").read_text())
    bundle = (redoc.FOLDER / "redoc.js").read_bytes()
    assert hashlib.sha256(bundle).hexdigest() == record["sha256"]
    assert b"cdn.redoc.ly" not in bundle
    assert "MIT" in (redoc.FOLDER / "LICENSE.redoc.txt").read_text()


def test_every_file_of_the_page_exists() -> None:
    assert all((reference_page._FOLDER / name).is_file() for name, _ in reference_page._FILES.values())
