"""Random identities that survive restarts, each in a small file of the data directory."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from imagegateway.platform.private_files import replace_private, write_once

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY: Final = "gateway-id"
"""Name of the file whose identity distinguishes this gateway from others on the same NATS server."""

_IDENTITY: Final = re.compile(r"[0-9a-f]{16}")


def load_identity(path: Path) -> str:
    """Return the identity in a file. Create it if the file is absent or malformed. Raises OSError.

    Concurrent processes agree on one identity.
    """
    with suppress(FileNotFoundError):
        found = path.read_text(errors="replace").strip()
        if _IDENTITY.fullmatch(found):
            return found
        return renew_identity(path)
    write_once(path, secrets.token_hex(8))
    return load_identity(path)


def renew_identity(path: Path) -> str:
    """Replace the identity in a file, and return the new one. Raises OSError."""
    identity = secrets.token_hex(8)
    replace_private(path, identity)
    return identity
