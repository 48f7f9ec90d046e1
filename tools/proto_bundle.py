"""Archive of the public protos with all their imports, for other languages: `python -m tools.proto_bundle FOLDER`.

`make dist` calls this module. The archive is the same for the same sources.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCES: Final = (Path("proto"), Path("build/googleapis"))
_PUBLIC: Final = ("imagegateway/v1", "imagegateway/admin/v1")
_ERROR_DETAILS: Final = "google/rpc/error_details.proto"
"""Messages of errors: no proto imports them, but callers read them."""
_IMPORT: Final = re.compile(r'^import (?:public )?"([^"]+)";$', re.MULTILINE)
_OF_PROTOC: Final = "google/protobuf/"
"""Start of the imports that protoc itself brings."""
_OTHERS: Final = {
    "LICENSE": "LICENSE",
    "README.md": "packaging/proto/README.md",
    "buf.yaml": "packaging/proto/buf.yaml",
}


def build(folder: Path) -> Path:
    """Write the archive into a folder, and return its path."""
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    root = f"imagegateway-proto-{version}"
    files = {f"proto/{name}": _source(name) for name in _with_imports([*_public(), _ERROR_DETAILS])}
    files |= {name: Path(path) for name, path in _OTHERS.items()}
    target = folder / f"{root}.zip"
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            entry = ZipInfo(f"{root}/{name}")
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), ZIP_DEFLATED)
    return target


def _public() -> Iterator[str]:
    root = _SOURCES[0]
    return (str(path.relative_to(root)) for package in _PUBLIC for path in (root / package).glob("*.proto"))


def _with_imports(names: list[str]) -> set[str]:
    """Return the files and everything that they import, but for protoc's own files."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found and not name.startswith(_OF_PROTOC):
            found.add(name)
            names += _IMPORT.findall(_source(name).read_text())
    return found


def _source(name: str) -> Path:
    """Return the path of a proto. Raises StopIteration for an unknown one."""
    return next(root / name for root in _SOURCES if (root / name).is_file())


if __name__ == "__main__":
    build(Path(sys.argv[1]))
