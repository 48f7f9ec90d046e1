"""Reference pages: complete, the same on every machine, and true to the protos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc
from imagegateway.platform import machine
from imagegateway.platform.errors import REASONS, code_of
from imagegateway.providers.registry import FAMILIES, ROUTES
from imagegateway.providers.setting_names import FURTHER, OF_FAMILIES, OF_ROUTES, known_names
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tools import api_page, reasons_page, settings_page
from tools.openapi.comments import Comments


@pytest.fixture
def files(tmp_path: Path) -> FileDescriptorSet:
    """error_reason.proto with its comments."""
    path = tmp_path / "error_reason.binpb"
    proto = "proto/imagegateway/v1/error_reason.proto"
    arguments = ["protoc", "-Iproto", "--include_source_info", f"--descriptor_set_out={path}", proto]
    assert protoc.main(arguments) == 0
    return FileDescriptorSet.FromString(path.read_bytes())


def test_api_page_lists_every_operation_once() -> None:
    description = json.loads(Path("generated/imagegateway/v1/openapi.json").read_text())
    rows = [line.split("`")[1] for line in api_page.render(description).splitlines() if line.startswith("| `")]
    operations = [
        f"{method.upper()} {path}"
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if "operationId" in operation
    ]
    assert sorted(rows) == sorted(operations)


def test_settings_page_has_one_row_for_every_setting() -> None:
    rows = [line.split("`")[1] for line in settings_page.render().splitlines() if line.startswith("| `")]
    of_routes = {f"{route.upper()}_{name}" for route in ROUTES for name in OF_ROUTES}
    of_families = {f"{family.upper()}_{name}" for family in FAMILIES for name in OF_FAMILIES}
    own = known_names() - FURTHER.keys() - of_routes - of_families
    expected = own | FURTHER.keys() | {f"<ROUTE>_{name}" for name in OF_ROUTES}
    expected |= {f"<FAMILY>_{name}" for name in OF_FAMILIES}
    assert sorted(rows) == sorted(f"IMAGEGATEWAY_{name}" for name in expected)


def test_settings_page_states_type_range_default_and_meaning() -> None:
    assert "| `IMAGEGATEWAY_PORT` | integer, 1 to 65535 | `8080` | Port of REST, gRPC" in settings_page.render()
    assert "| `IMAGEGATEWAY_SDK_HOLD` | boolean | `true` |" in settings_page.render()


def test_settings_page_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = settings_page.render()
    monkeypatch.setattr(machine, "memory", lambda: 3 << 30)
    assert settings_page.render() == here


def test_reasons_page_has_one_row_and_one_section_for_every_reason(files: FileDescriptorSet) -> None:
    page = reasons_page.render(Comments(files))
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| [`")]
    sections = [line.split("`")[1] for line in page.splitlines() if line.startswith("## `")]
    assert sorted(rows) == sorted(sections) == sorted(map(code_of, REASONS))


def test_reasons_page_states_cause_and_cure(files: FileDescriptorSet) -> None:
    section = reasons_page.render(Comments(files)).partition("## `model_retired`")[2].partition("\n## ")[0]
    assert section.splitlines()[2:] == [
        "The provider has retired the model; the error names the successor.",
        "",
        "**Cause.** The provider no longer serves the model.",
        "",
        "**Cure.** Use the successor that the message names.",
    ]


def test_comment_that_contradicts_the_table_is_refused(files: FileDescriptorSet) -> None:
    for location in files.file[0].source_code_info.location:
        location.leading_comments = location.leading_comments.replace("404 /", "400 /")
    with pytest.raises(ValueError, match="MODEL_NOT_FOUND must end with 404 / NOT_FOUND"):
        reasons_page.render(Comments(files))


def test_comment_without_a_cure_is_refused(files: FileDescriptorSet) -> None:
    for location in files.file[0].source_code_info.location:
        location.leading_comments = location.leading_comments.replace("Cure:", "Hint:")
    with pytest.raises(ValueError, match="`Cause: …` and `Cure: …`"):
        reasons_page.render(Comments(files))


def test_reason_that_may_be_billed_is_never_repeated() -> None:
    contradictions = {reason for reason, meaning in REASONS.items() if meaning.retry and meaning.may_be_billed}
    assert contradictions == set(), [ErrorReason.Name(reason) for reason in contradictions]
