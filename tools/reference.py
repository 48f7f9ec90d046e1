"""Reference pages, generated from code: docs/settings.md and docs/reasons.md.

Usage: `python -m tools.reference DESCRIPTORS`. DESCRIPTORS is a file descriptor set of proto/ with source
information. `make generate` calls this module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools import reasons_page, settings_page
from tools.openapi.comments import Comments

DOCS = Path("docs")


def main(descriptors: Path) -> None:
    """Write both pages."""
    comments = Comments(FileDescriptorSet.FromString(descriptors.read_bytes()))
    (DOCS / "settings.md").write_text(settings_page.render())
    (DOCS / "reasons.md").write_text(reasons_page.render(comments))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
