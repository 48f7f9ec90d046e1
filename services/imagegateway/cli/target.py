"""The gateway that a command calls: from options, the environment, the login, or the stack on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import Group, Parameter
from imagegateway.cli.errors import CommandError
from imagegateway.cli.login_file import Login
from imagegateway.platform.setting_source import Source, data_dir
from imagegateway.stack.local_access import LocalAccess

if TYPE_CHECKING:
    from pathlib import Path

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

    @classmethod
    def named(cls, connection: Connection) -> Target | None:
        """Return the gateway of options, environment or login; None if they name none.

        Raises CommandError if a key for it is missing.
        """
        source = Source.load()
        url = connection.url or source.text("URL")
        key = connection.key or source.text("KEY")
        login = Login.load()
        if url:
            url = checked_origin(url)
            local = LocalAccess.load(data_dir(source))
            key = key or next((place.key for place in (login, local) if place and place.url == url), "")
        elif login:
            url, key = login.url, key or login.key
        else:
            return None
        if not key or not key.isascii():
            raise CommandError(f"a key for {url} is missing: set IMAGEGATEWAY_KEY, or run `imagegateway login`")
        return cls(url, key)

    @classmethod
    def resolve(cls, connection: Connection) -> Target:
        """Return the named gateway, else the stack on this machine. Raises NoGatewayError without either."""
        if target := cls.named(connection):
            return target
        source = Source.load()
        access = LocalAccess.load(data_dir(source))
        if not access:
            raise NoGatewayError(data_dir(source))
        return cls(access.url, connection.key or source.text("KEY") or access.key)


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
