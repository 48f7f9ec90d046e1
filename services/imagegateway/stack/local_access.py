"""Access of this user's programs to the running stack: a file with its address and a key that ends with the stack."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_FILE: Final = Path("run", "local-access.json")


@dataclass(frozen=True, slots=True)
class LocalAccess:
    """Address of the stack's public port, and the secret of a key for it."""

    url: str
    key: str

    @classmethod
    def load(cls, data_dir: Path) -> LocalAccess | None:
        """Return the access to the stack of a data directory, or None if none runs there."""
        try:
            return cls(**json.loads((data_dir / _FILE).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, data_dir: Path) -> None:
        """Write the file for this user alone."""
        path = data_dir / _FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def remove(data_dir: Path) -> None:
        """Remove the file at the stack's end."""
        (data_dir / _FILE).unlink(missing_ok=True)
