"""Access of this user's programs to the running stack: a file with its address and a key that ends with the stack."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from imagegateway.platform.private_files import write_private

_FILE: Final = Path("run", "local-access.json")


@dataclass(frozen=True, slots=True)
class LocalAccess:
    """Access to the stack's public API: its address for people, its UNIX socket, and the secret of a key."""

    url: str
    socket: Path
    """Socket without TLS, so that no certificate has to name this machine."""
    key: str

    @classmethod
    def load(cls, data_dir: Path) -> LocalAccess | None:
        """Return the access to the stack of a data directory, or None if none runs there."""
        try:
            fields = json.loads((data_dir / _FILE).read_text())
            return cls(fields["url"], Path(fields["socket"]), fields["key"])
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def save(self, data_dir: Path) -> None:
        """Write the file for this user alone."""
        write_private(data_dir / _FILE, json.dumps(asdict(self), default=str))

    @staticmethod
    def remove(data_dir: Path) -> None:
        """Remove the file at the stack's end."""
        (data_dir / _FILE).unlink(missing_ok=True)
