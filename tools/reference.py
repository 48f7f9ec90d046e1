"""Reference pages, generated from code: docs/api.md, docs/settings.md, docs/reasons.md and docs/metrics.md.

Usage: `python -m tools.reference DESCRIPTORS DESCRIPTION`. DESCRIPTORS is a file descriptor set of proto/ with source
information, DESCRIPTION the OpenAPI description. `make generate` calls this module.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools import api_page, metrics_page, reasons_page, settings_page
from tools.openapi.comments import Comments

DOCS = Path("docs")


def main(descriptors: Path, description: Path) -> None:
    """Write the pages."""
    comments = Comments(FileDescriptorSet.FromString(descriptors.read_bytes()))
    (DOCS / "api.md").write_text(api_page.render(json.loads(description.read_text())))
    (DOCS / "settings.md").write_text(settings_page.render())
    (DOCS / "metrics.md").write_text(metrics_page.render())
    (DOCS / "reasons.md").write_text(reasons_page.render(comments))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
