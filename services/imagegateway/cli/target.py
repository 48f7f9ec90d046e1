"""The gateway that a command calls: from options, the environment, the login, or the stack on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from cyclopts import Group, Parameter
from imagegateway.cli.errors import CommandError
from imagegateway.cli.login_file import Login
from imagegateway.cli.source import checked_source
from imagegateway.platform.setting_source import data_dir
from imagegateway.stack.local_access import LocalAccess

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from imagegateway.platform.setting_source import Source

_LOGIN: Final = "the login"
_HERE: Final = "the stack on this machine"
_GROUP = Group("Gateway", sort_key=9)


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Options of every command that calls a gateway."""

    url: Annotated[str, Parameter(help="Address; else IMAGEGATEWAY_URL, the login, or this machine's stack.")] = ""
    key: Annotated[str, Parameter(help="API key; else IMAGEGATEWAY_KEY, the login, or this machine's stack.")] = ""


class NoGatewayError(CommandError):
    """No gateway is named, and none runs in the data directory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"no gateway runs in {folder}: start one with `imagegateway up`, or name another one by "
            "`imagegateway login` or by IMAGEGATEWAY_URL and IMAGEGATEWAY_KEY"
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Origin of a gateway without a final slash, and the key for its public API."""

    url: str
    key: str
    socket: Path | None = None
    """UNIX socket that serves the API of this machine's stack, without TLS."""
    key_from: str = field(default="", compare=False)
    """Origin of the key, for people: an option, a setting, the login or the stack on this machine."""

    @classmethod
    def here(cls, access: LocalAccess, key: str = "", key_from: str = "") -> Self:
        """Return this machine's stack, with a key or that of its file."""
        return cls(access.url, key or access.key, access.socket, key_from or _HERE)

    @property
    def base_url(self) -> str:
        """Start of the URLs of requests."""
        return "http://localhost" if self.socket else self.url

    @classmethod
    def named(cls, connection: Connection) -> Target | None:
        """Return the gateway of options, environment or login; None if they name none.

        Raises CommandError if a key for it is missing.
        """
        source = checked_source()
        url = connection.url or source.text("URL")
        key, key_from = _given_key(connection, source)
        login = Login.load()
        if url:
            url = checked_origin(url)
            places = {_LOGIN: login, _HERE: LocalAccess.load(data_dir(source))}
            known = ((place.key, name) for name, place in places.items() if place and place.url == url)
            key, key_from = (key, key_from) if key else next(known, ("", ""))
        elif login:
            url = login.url
            key, key_from = (key, key_from) if key else (login.key, _LOGIN)
        else:
            return None
        if not key or not key.isascii():
            raise CommandError(f"a key for {url} is missing: set IMAGEGATEWAY_KEY, or run `imagegateway login`")
        return cls(url, key, key_from=key_from)

    @classmethod
    def resolve(cls, connection: Connection) -> Target:
        """Return the named gateway, else the stack on this machine. Raises NoGatewayError without either."""
        if target := cls.named(connection):
            return target
        source = checked_source()
        access = LocalAccess.load(data_dir(source))
        if not access:
            raise NoGatewayError(data_dir(source))
        return cls.here(access, *_given_key(connection, source))


def _given_key(connection: Connection, source: Source) -> tuple[str, str]:
    """Return the key of the options or the settings, and its origin; empty texts without one."""
    if connection.key:
        return connection.key, "--key"
    return source.secret("KEY").reveal(), source.origin("KEY")


def checked_origin(url: str) -> str:
    """Return an http(s) origin, which may have a path, without a final slash. Raises CommandError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.query or parts.fragment or parts.username:
        raise CommandError(f"{url!r} is no address of a gateway, such as https://images.example.com")
    return url.rstrip("/").removesuffix("/v1")
