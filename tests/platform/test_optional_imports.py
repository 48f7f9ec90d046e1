"""Processes load no package that only other programs need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from imagegateway.platform.optional_imports import hidden


def test_hidden_package_can_not_be_imported_and_comes_back() -> None:
    with hidden("json", "package_that_is_not_installed"), pytest.raises(ModuleNotFoundError):
        __import__("json")
    assert sys.modules["json"] is json
    assert "package_that_is_not_installed" not in sys.modules


@pytest.mark.parametrize("process", ["router", "providers", "media"])
def test_process_loads_neither_rich_nor_click(process: str) -> None:
    code = f"import sys, imagegateway.{process}.__main__\nprint({{'rich', 'click', 'pygments'}} & {{*sys.modules}})"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
