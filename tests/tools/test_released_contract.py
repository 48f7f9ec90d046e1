"""`buf breaking` against the released contract: removed fields are found in public and internal packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

pytestmark = pytest.mark.processes

RELEASED = Path("proto/released.binpb")
WIRE = '{"version": "v2", "breaking": {"use": ["WIRE"]}}'
BUF = Path(sys.executable).with_name("buf")


def breaks(present: FileDescriptorSet, folder: Path, *options: str) -> str:
    """Return what `buf breaking` reports on a contract, with the options of `make breaking`."""
    path = folder / "present.binpb"
    path.write_bytes(present.SerializeToString())
    command: list[str | Path] = [BUF, "breaking", path, "--against", RELEASED, *options]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return ran.stdout + ran.stderr


def changed(file: str, message: str, field: str, *, rename: str = "") -> FileDescriptorSet:
    """Return the released contract with one field renamed, or removed."""
    contract = FileDescriptorSet.FromString(RELEASED.read_bytes())
    messages = next(entry.message_type for entry in contract.file if entry.name == file)
    fields = next(entry.field for entry in messages if entry.name == message)
    index = next(index for index, entry in enumerate(fields) if entry.name == field)
    if rename:
        fields[index].name = rename
    else:
        del fields[index]
    return contract


@pytest.mark.parametrize(
    ("rename", "report"),
    [
        ("", 'field "1" with name "id" on message "Job" was deleted'),
        ("identifier", 'Field "1" on message "Job" changed name from "id" to "identifier"'),
    ],
)
def test_public_field_can_be_neither_removed_nor_renamed(tmp_path: Path, rename: str, report: str) -> None:
    present = changed("imagegateway/v1/job.proto", "Job", "id", rename=rename)
    assert report in breaks(present, tmp_path, "--path", "imagegateway/v1")


def test_internal_field_cannot_be_removed(tmp_path: Path) -> None:
    present = changed("imagegateway/job/v1/job_record.proto", "JobRecord", "id")
    assert 'with name "id" on message "JobRecord" was deleted' in breaks(present, tmp_path, "--config", WIRE)


def test_internal_field_can_be_renamed(tmp_path: Path) -> None:
    present = changed("imagegateway/job/v1/job_record.proto", "JobRecord", "id", rename="identifier")
    assert breaks(present, tmp_path, "--config", WIRE) == ""
