"""Write the API description: `python -m tools.openapi DESCRIPTORS FILE`.

DESCRIPTORS is a file descriptor set of proto/ with source information. `make generate` calls this module.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.openapi.comments import Comments
from tools.openapi.document import describe


def main(descriptors: Path, target: Path) -> None:
    """Write the description to `target`."""
    comments = Comments(FileDescriptorSet.FromString(descriptors.read_bytes()))
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    target.write_text(json.dumps(describe(comments, version), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
