"""The web page's files as a browser loads them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.media.web import pages

from tests.media.media_gateway import PUBLIC, error_of, gateway, settings

if TYPE_CHECKING:
    from tests.media.media_gateway import Gateway

__all__ = ["gateway", "settings"]

FOLDER: Final = Path(pages.__file__).with_name("page")
NAMES: Final = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*") if path.name != "index.html"
)


async def test_page_may_run_its_own_modules_and_call_its_own_origin_only(gateway: Gateway) -> None:
    answer, body = await gateway.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= set(policy)
    assert f"img-src 'self' data: blob: {PUBLIC}" in policy
    text = body.decode()
    assert not re.search(r"<style|<script>|\sstyle=|\son[a-z]+=", text), "the policy forbids inline script and style"
    for link in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert link.startswith(("/", "#")), link


async def test_asset_has_its_media_type_and_is_read_again_only_after_a_change(gateway: Gateway) -> None:
    for name in NAMES:
        answer, body = await gateway.get(f"/assets/{name}")
        expected = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}[Path(name).suffix]
        assert answer.headers["Content-Type"] == f"{expected}; charset=utf-8", name
        assert answer.headers["Cache-Control"] == "no-cache", name
        assert body == (FOLDER / name).read_bytes(), name
        again, nothing = await gateway.get(f"/assets/{name}", if_none_match=answer.headers["ETag"])
        assert (again.status, nothing) == (304, b""), name


@pytest.mark.parametrize("path", ["/", "/assets/main.js"])
async def test_head_of_a_page_file_is_its_get_without_body(gateway: Gateway, path: str) -> None:
    head, nothing = await gateway.send("HEAD", path)
    got, body = await gateway.get(path)
    assert (head.status, nothing) == (200, b"")
    assert head.headers["Content-Length"] == str(len(body))
    assert head.headers["ETag"] == got.headers["ETag"]


@pytest.mark.parametrize("name", ["", "none.js", "index.html", "../pages.py", "%2e%2e/pages.py", "..%2fpages.py"])
async def test_asset_outside_of_the_page_is_404(gateway: Gateway, name: str) -> None:
    answer, body = await gateway.get(f"/assets/{name}")
    assert answer.status == 404
    assert error_of(body)["code"] == "unknown_url"


def test_module_imports_relative_modules_only_and_is_checked_by_types() -> None:
    for path in sorted(FOLDER.rglob("*.js")):
        text = path.read_text()
        assert text.startswith("// @ts-check\n"), path
        for imported in re.findall(r'^(?:import|\}).* from "([^"]+)";$|import\("([^"]+)"\)', text, re.MULTILINE):
            assert (path.parent / "".join(imported)).is_file(), (path, imported)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path


@pytest.mark.processes
def test_modules_without_the_document_pass_their_own_tests() -> None:
    """Node runs the logic of the page; Chromium has the rest in tests/page."""
    node = Path(sys.executable).with_name("node")
    tests = sorted((Path(__file__).parents[1] / "page" / "modules").glob("*.test.js"))
    done = subprocess.run(
        [node, "--test", "--test-isolation=none", *tests], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout
