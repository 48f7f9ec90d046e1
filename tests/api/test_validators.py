"""The API description follows OpenAPI, Redocly's recommended rules, and becomes usable types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from imagegateway.media.web import openapi

from tests.api import tools

_PROGRAM: Final = Path(__file__).with_name("node") / "program.ts"


@pytest.fixture(params=[True, False], ids=["administration", "no-administration"])
def document(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the description as a file, with and without administration."""
    path = tmp_path / "openapi.json"
    path.write_bytes(openapi.describe("http://127.0.0.1:8080", administration=request.param))
    return path


def test_description_is_valid_openapi(document: Path) -> None:
    assert tools.run([tools.PYTHON / "openapi-spec-validator", document]).strip().endswith("OK")


def test_redoclys_recommended_rules_find_nothing(document: Path) -> None:
    output = tools.run(
        [tools.NODE / "redocly", "lint", document, "--extends=recommended", "--format=json"],
        variables={"REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "REDOCLY_TELEMETRY": "off"},
    )
    result = json.JSONDecoder().raw_decode(output[output.index("{") :])[0]
    assert result["problems"] == []


def test_types_of_requests_responses_and_errors_compile(tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(openapi.describe("http://127.0.0.1:8080", administration=True))
    tools.run([tools.NODE / "openapi-typescript", document, "--output", tmp_path / "api.ts"])
    (tmp_path / "program.ts").write_text(_PROGRAM.read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2023,dom"]
    tools.run([tools.NODE / "tsc", *options, "program.ts"], tmp_path)
