"""Processes load no package that only other programs need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from imagegateway.platform.lean_imports import without


def test_hidden_package_can_not_be_imported_and_comes_back() -> None:
    with without("fractions_of_nothing", "json"):
        assert "json" in sys.modules, "a loaded package stays visible"
        with pytest.raises(ModuleNotFoundError):
            __import__("fractions_of_nothing")
    assert "fractions_of_nothing" not in sys.modules


@pytest.mark.parametrize("process", ["router", "providers", "media"])
def test_process_loads_neither_rich_nor_click(process: str) -> None:
    code = f"import sys, imagegateway.{process}.__main__\nprint({{'rich', 'click', 'pygments'}} & {{*sys.modules}})"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
