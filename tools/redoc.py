"""Update of Redoc, which shows the reference page at /docs: `python -m tools.redoc VERSION`.

Downloads the npm package, and writes Redoc's bundle and licences into the package `imagegateway`, with a record of
the version and of the bundle's SHA-256. `make redoc` calls this module.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path("services/imagegateway/media/web/reference")
_BUNDLE: Final = "package/bundles/redoc.standalone.js"
_LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
"""Image of another origin, which the page's Content-Security-Policy refuses."""


def main(version: str) -> None:
    """Write the files. npm checks the package's integrity. Raises ValueError for a bundle without the known logo."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"redoc@{version}"], cwd=folder, check=True)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            bundle = _read(package, _BUNDLE)
            licences = [_read(package, "package/LICENSE"), _read(package, f"{_BUNDLE}.LICENSE.txt")]
    if _LOGO not in bundle:
        raise ValueError("the bundle has changed: check which other origins it names")
    patched = bundle.replace(_LOGO, b"data:,")
    (FOLDER / "redoc.js").write_bytes(patched)
    (FOLDER / "LICENSE.redoc.txt").write_bytes(b"\n".join(licences))
    record = {"package": "redoc", "version": version, "licence": "MIT", "npm_sha256": _digest(bundle)}
    (FOLDER / "redoc.json").write_text(json.dumps(record | {"sha256": _digest(patched)}, indent=2) + "\n")


def _read(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    if file is None:
        raise ValueError(f"the package has no {name}")
    return file.read()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1])
