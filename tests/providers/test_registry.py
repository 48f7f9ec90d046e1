"""Registry of families: adapters are imported only where they are used, and no family imports another one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from imagegateway.providers.registry import FAMILIES

LOADED = """
import sys
print(*sorted(name for name in sys.modules if name.startswith("imagegateway.providers.")))
"""


def modules_after(program: str) -> set[str]:
    """Return the modules of providers that a new Python has loaded after a program, without their package's name."""
    done = subprocess.run([sys.executable, "-c", program + LOADED], capture_output=True, text=True, check=True)
    return {name.removeprefix("imagegateway.providers.") for name in done.stdout.split()}


@pytest.mark.processes
@pytest.mark.parametrize("module", ["imagegateway.router.__main__", "imagegateway.stack.up"])
def test_process_that_translates_nothing_loads_catalogs_only(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert "bfl.catalog" in loaded
    assert {name for name in loaded if name.endswith(".adapter") and name != "kit.adapter"} == set()
    assert "kit.driver" not in loaded
    assert "local.family" not in loaded


@pytest.mark.processes
def test_server_of_one_family_loads_the_adapters_of_that_family_only() -> None:
    loaded = modules_after("from imagegateway.providers.__main__ import FAMILIES\nFAMILIES['bfl'].load_adapters()")
    assert {"bfl.adapter", "bfl.cloudflare"} <= loaded
    assert {name for name in loaded if name.endswith(".adapter")} == {"kit.adapter", "bfl.adapter"}
    assert "local.family" not in loaded


def test_import_contract_names_every_family() -> None:
    contracts = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independence,) = (contract for contract in contracts if contract["type"] == "independence")
    assert independence["modules"] == [f"imagegateway.providers.{name}" for name in sorted(FAMILIES)]
