"""Root secrets, derived keys, and encryption at rest.

The present root secret signs and encrypts. Each signature and encrypted value carries its key id. Previous root
secrets only verify and decrypt, so a rotation invalidates nothing.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from imagegateway.platform.private_files import write_once
from imagegateway.platform.setting_source import SettingError

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings

SETTING: Final = "IMAGEGATEWAY_SECRET_KEY"
PREVIOUS_SETTING: Final = "IMAGEGATEWAY_SECRET_KEY_PREVIOUS"
FILE: Final = "secret-key"
"""File of the data directory with a root secret that no setting provides."""
_SHORTEST: Final = 16
_ID_BYTES: Final = 4


class RootSecret:
    """Root secret: IMAGEGATEWAY_SECRET_KEY or a generated one, and those of IMAGEGATEWAY_SECRET_KEY_PREVIOUS.

    All replicas need the same secrets.
    """

    def __init__(self, secret: str, *previous: str) -> None:
        """Sign and encrypt with `secret`. Verify and decrypt with `previous` as well."""
        self._secrets = {_key_id(each): each for each in (secret, *previous)}

    @classmethod
    def load(cls, settings: Settings, *, make: bool = True) -> RootSecret:
        """Return the root secret of the settings, else of the file `secret-key` in the data directory.

        `make`: create an absent file, with mode 0600. Concurrent processes agree on one secret. Raises SettingError
        for a secret of fewer than 16 characters, and for a file that can't be read or written.
        """
        previous = [part.strip() for part in settings.secret_key_previous.reveal().split(",")]
        known = [_long_enough(part, PREVIOUS_SETTING) for part in previous if part]
        if settings.secret_key:
            secret = _long_enough(settings.secret_key.reveal(), SETTING)
            if "," in secret:
                raise SettingError(f"{SETTING} must hold no comma: {PREVIOUS_SETTING} separates secrets by it")
            return cls(secret, *known)
        path = settings.data_dir / FILE
        try:
            if make and not path.exists():
                write_once(path, secrets.token_urlsafe(32))
            secret = path.read_text().strip()
        except OSError as error:
            raise SettingError(f"{SETTING} is not set, and {path}: {error.strerror}") from error
        return cls(_long_enough(secret, str(path)), *known)

    @property
    def id(self) -> str:
        """Key id of the present root secret."""
        return next(iter(self._secrets))

    def derive(self, purpose: str) -> bytes:
        """Return the present key of 32 bytes for one purpose. Keys of different purposes are independent."""
        return self.derive_all(purpose)[0]

    def derive_all(self, purpose: str) -> tuple[bytes, ...]:
        """Return the keys of all root secrets for one purpose, the present one first."""
        return tuple(self.keys(purpose).values())

    def keys(self, purpose: str) -> dict[str, bytes]:
        """Return the keys of all root secrets for one purpose by key id (8 hex digits), the present one first."""
        return {key_id: _derive(secret, purpose) for key_id, secret in self._secrets.items()}

    def sealer(self, purpose: str) -> Sealer:
        """Return the encryption at rest for one purpose."""
        return Sealer(self.keys(purpose))


class Sealer:
    """Authenticated encryption at rest. A sealed value is `<key id>.<Fernet token>`."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Seal with the first of `keys` (32 bytes each, by key id), and open with all."""
        self._boxes = {key_id: Fernet(base64.urlsafe_b64encode(key)) for key_id, key in keys.items()}
        self._present = next(iter(keys))

    def seal(self, data: bytes) -> bytes:
        """Encrypt with the present key."""
        return self._prefix + self._boxes[self._present].encrypt(data)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt with the key of the value's key id. Raises InvalidToken for a damaged value or an unknown key."""
        key_id, dot, token = sealed.partition(b".")
        if not dot:  # sealed before key ids existed
            return MultiFernet(self._boxes.values()).decrypt(sealed)
        box = self._boxes.get(key_id.decode(errors="replace"))
        if box is None:
            raise InvalidToken
        return box.decrypt(token)

    def is_current(self, sealed: bytes) -> bool:
        """Return True for a value that the present key sealed."""
        return sealed.startswith(self._prefix)

    @property
    def _prefix(self) -> bytes:
        return f"{self._present}.".encode()


def _key_id(secret: str) -> str:
    return _derive(secret, "key id")[:_ID_BYTES].hex()


def _derive(secret: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"imagegateway", info=purpose.encode()).derive(secret.encode())


def _long_enough(secret: str, where: str) -> str:
    if len(secret) < _SHORTEST:
        raise SettingError(f"{where} must have at least {_SHORTEST} characters")
    return secret
