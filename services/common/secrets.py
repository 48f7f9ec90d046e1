"""The root secret, and the keys that are derived from it."""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.common.settings import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    from services.common.settings import Settings

_FILE: Final = "secret-key"
_SHORTEST: Final = 16


class RootSecret:
    """IMAGEGATEWAY_SECRET_KEY, or what the first start made; all replicas must have the same."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    @classmethod
    def load(cls, settings: Settings, *, make: bool = True) -> RootSecret:
        """Take the setting, else read `secret-key` in the data directory, else make it (mode 0600, flushed) unless
        told not to.

        Processes that start together agree on one. Raises SettingError for a secret of fewer than 16
        characters and for a file that can't be read or written.
        """
        if settings.secret_key:
            return cls(_long_enough(settings.secret_key.reveal(), "IMAGEGATEWAY_SECRET_KEY"))
        path = settings.data_dir / _FILE
        try:
            if make and not path.exists():
                _make(path)
            secret = path.read_text().strip()
        except OSError as error:
            raise SettingError(f"IMAGEGATEWAY_SECRET_KEY is not set, and {path}: {error.strerror}") from error
        return cls(_long_enough(secret, str(path)))

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose; what one of them is used for tells nothing about another."""
        return HKDF(algorithm=SHA256(), length=32, salt=b"imagegateway", info=purpose.encode()).derive(self._secret)


def fernet(key: bytes) -> Fernet:
    """Authenticated encryption with 32 bytes of the gateway's own."""
    return Fernet(base64.urlsafe_b64encode(key))


def _long_enough(secret: str, where: str) -> str:
    if len(secret) < _SHORTEST:
        raise SettingError(f"{where} must have at least {_SHORTEST} characters")
    return secret


def _make(path: Path) -> None:
    """Write a random secret, whole and flushed or not at all; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)  # unlike a rename, fails when another process was first
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
