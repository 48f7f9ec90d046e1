"""Packages of the command line stay out of the gateway's processes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from imagegateway.platform.optional_imports import hidden

PROCESSES = ("imagegateway.router.__main__", "imagegateway.providers.__main__", "imagegateway.media.__main__")

PACKAGES = {"rich", "click", "pygments", "cyclopts", "pydantic"}


def imported(modules: str, packages: set[str]) -> list[str]:
    """Return those of the packages that a process with these modules imports."""
    script = f"import sys, {modules}; print(*({packages} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.processes
def test_processes_import_no_package_of_the_command_line() -> None:
    assert imported(", ".join(PROCESSES), PACKAGES) == []


@pytest.mark.processes
def test_parent_of_the_stack_imports_no_http_client_either() -> None:
    assert imported("imagegateway.stack.up", {*PACKAGES, "aiohttp", "httpx"}) == []


def test_hidden_package_cannot_be_imported_within_the_block_only() -> None:
    import difflib  # noqa: PLC0415

    before = sys.modules["difflib"]
    with hidden("difflib", "no_such_package"), pytest.raises(ModuleNotFoundError):
        import difflib  # noqa: PLC0415
    assert sys.modules["difflib"] is before is difflib
    assert "no_such_package" not in sys.modules
