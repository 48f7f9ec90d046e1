"""Versions: the gateway requires the client of the same version."""

from __future__ import annotations

import tomllib
from pathlib import Path


def test_required_client_has_the_version_of_the_gateway() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    (required,) = (text for text in project["dependencies"] if text.startswith("imagegateway-client"))
    assert required == f"imagegateway-client == {project['version']}"
