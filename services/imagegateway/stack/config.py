"""What the stack's processes read: configuration of Envoy, nats-server and supervisord, rendered into `run/`."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shlex
import shutil
import socket
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import orjson
from imagegateway.keys import key_tags
from imagegateway.keys.api_keys import fingerprint
from imagegateway.media.web import openapi
from imagegateway.platform import ids, machine
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.grpc_server import MAX_METADATA_BYTES
from imagegateway.platform.setting_source import SettingError
from imagegateway.router import call_context, call_outcome
from imagegateway.router.request_body import MAX_FORM_BYTES
from imagegateway.v1 import image_service_pb2
from imagegateway.v1.error_reason_pb2 import ErrorReason
from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagegateway.platform.settings import Settings

_FILES: Final = Path(__file__).parent
_DESCRIPTORS: Final = Path(image_service_pb2.__file__).with_name("descriptors.binpb")
_PARAMETER: Final = re.compile(r"{(\w+)}")
_SLASHED: Final = "model_id"
"""The path parameter whose values hold slashes."""
_MIB: Final = 1024 * 1024

MAX_RESPONSE_BYTES: Final = 512 * _MIB

_MAX_HEADER_BYTES: Final = MAX_METADATA_BYTES - 4 * 1024
"""Most that a request's headers may have. What Envoy adds to them fits into the rest."""
_MAX_HEADERS: Final = 100

_RESERVED_FILES: Final = 500
"""Open files of Envoy that are no connection of a client, nor one made for it."""
_FEWEST_CONNECTIONS: Final = 200

_ADDRESS_GROUPS: Final = 16
"""Groups of client addresses that Envoy counts connections for. Each costs Envoy 2.5 MiB of memory."""

LOCAL_REPLIES: Final = (
    (400, "invalid_request_error", "invalid_request", "The request is not well-formed HTTP."),
    (403, "permission_error", "forbidden", "The gateway does not serve this request."),
    (404, "invalid_request_error", "unknown_url", "There is no such URL."),
    (405, "invalid_request_error", "method_not_allowed", "This URL does not take that method: see the header Allow."),
    (408, "invalid_request_error", "request_timeout", "The request took too long to arrive."),
    (411, "invalid_request_error", "length_required", "The request needs a Content-Length."),
    (413, "invalid_request_error", "request_too_large", "The request body is too large."),
    (414, "invalid_request_error", "url_too_long", "The URL is too long."),
    (415, "invalid_request_error", "unsupported_media_type", "The request body has a type that is not served here."),
    (426, "invalid_request_error", "upgrade_required", "The request needs HTTP/1.0, HTTP/1.1 or HTTP/2."),
    (429, "rate_limit_error", "rate_limit_exceeded", "Too many requests."),
    (431, "invalid_request_error", "headers_too_large", "The request headers are too large."),
    (500, "server_error", "internal", "The gateway failed."),
    (501, "server_error", "not_implemented", "The gateway does not support this kind of request."),
    (502, "server_error", "service_unavailable", "The gateway can't serve this now; try again."),
    (503, "server_error", "service_unavailable", "The gateway can't serve this now; try again."),
    (504, "timeout_error", "timeout", "The gateway took too long."),
)
"""Envoy's own refusals: HTTP status, type, code and message."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The files of one running stack."""

    settings: Settings
    nats_port: int
    nats_password: str

    @classmethod
    def prepare(cls, settings: Settings) -> Stack:
        """Choose a port and a password for the stack's own NATS server."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return cls(settings, port, secrets.token_urlsafe(24))

    @property
    def run_dir(self) -> Path:
        return self.settings.run_dir

    def write(self) -> None:
        """Render everything into `run/`, readable by this user only."""
        self.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.write_envoy(self.run_dir)
        _write(self.run_dir / "supervisord.conf", _render("supervisord.conf.j2", **self._programs()))
        if not self.settings.nats_url:
            _write(
                self.run_dir / "nats.conf",
                _render(
                    "nats.conf.j2",
                    port=self.nats_port,
                    password=self.nats_password,
                    store=self.settings.data_dir / "nats",
                    log=self.run_dir / "nats.log",
                ),
            )
            _write(self.run_dir / "nats-url", f"nats://gateway:{self.nats_password}@127.0.0.1:{self.nats_port}")

    def write_envoy(self, folder: Path) -> None:
        """Render Envoy's configuration into a folder, readable by this user only. Raises SettingError."""
        _write(folder / "edge_settings.lua", edge_settings(self.settings))
        _write(folder / "envoy.yaml", self._envoy(folder))

    def _envoy(self, folder: Path) -> str:
        settings = self.settings
        connections = connection_limit(settings.connections, machine.open_files())
        return _render(
            "envoy/envoy.yaml.j2",
            admin=settings.socket("envoy-admin"),
            edge_settings=folder / "edge_settings.lua",
            host=settings.host,
            port=settings.port,
            lua=_FILES / "envoy",
            descriptors=_DESCRIPTORS,
            routers=[settings.socket(f"router-{index}") for index in range(settings.routers)],
            uploads=[settings.socket(f"uploads-{index}") for index in range(settings.routers)],
            media=settings.socket("media"),
            max_form_bytes=MAX_FORM_BYTES,
            max_response_bytes=MAX_RESPONSE_BYTES,
            local_replies=LOCAL_REPLIES,
            connections=connections,
            address_share=settings.address_share / 100,
            address_connections=connections * settings.address_share // 100,
            address_groups=_ADDRESS_GROUPS,
            address_seed=secrets.randbits(63),  # else a caller could choose addresses of one group
            max_heap_bytes=settings.edge_memory * _MIB,
            allowed_methods=_allowed_methods(),
        )

    def _programs(self) -> dict[str, object]:
        return {
            "socket": self.settings.socket("supervisor"),
            "python": sys.executable,
            "nats": "" if self.settings.nats_url else binary("nats-server"),
            "envoy": binary("envoy"),
            "threads": min(os.cpu_count() or 1, 4),
            "routers": self.settings.routers,
        }


def connection_limit(wanted: int, open_files: int) -> int:
    """Return how many client connections Envoy may take: at most `wanted`, and never all of its open files.

    A connection counts twice, since a form or a download has one of its own to the server behind Envoy. Raises
    SettingError where hardly any connection would be left.
    """
    allowed = (open_files - _RESERVED_FILES) // 2
    if allowed < _FEWEST_CONNECTIONS:
        raise SettingError(
            f"this process may have {open_files} files open (`ulimit -Hn`); Envoy needs "
            f"{2 * _FEWEST_CONNECTIONS + _RESERVED_FILES} or more"
        )
    return min(wanted, allowed)


def edge_settings(settings: Settings) -> str:
    """Return the Lua module from which Envoy's hooks know this gateway's keys. Raises SettingError."""
    refusals = {
        "missing": call_context.missing_key(),
        "unknown": call_context.unknown_key(),
        "untagged": GatewayError(
            ErrorReason.ERROR_REASON_INVALID_API_KEY,
            "The API key was made by an earlier version of the gateway: ask its operator for a new one "
            "(`imagegateway keys create`).",
        ),
        "timeout": invalid("grpc-timeout", "grpc-timeout must be up to eight digits and a unit: H, M, S, m, u or n."),
        "deadline": GatewayError(
            ErrorReason.ERROR_REASON_REQUEST_TIMEOUT, "The deadline is over: grpc-timeout is zero."
        ),
    }
    return _render(
        "envoy/edge_settings.lua.j2",
        signing_keys=key_tags.signing_keys(settings),
        adopted_key=settings.api_key.reveal(),
        fingerprint=fingerprint,
        max_header_bytes=_MAX_HEADER_BYTES,
        max_headers=_MAX_HEADERS,
        request_id_characters=ids.REQUEST_ID_CHARACTERS,
        request_id_max_length=ids.REQUEST_ID_MAX_LENGTH,
        refusals={"headers": _headers_refusal(), **{name: _refusal(error) for name, error in refusals.items()}},
    )


def _refusal(error: GatewayError) -> dict[str, object]:
    """Return an error as the hooks answer it: to REST by status and body, to gRPC by status, message and details."""
    return {
        "status": error.meaning.http,
        "body": orjson.dumps(error.body()).decode(),
        "message": error.message,
        "grpc_status": error.meaning.grpc.value[0],
        "grpc_details": base64.b64encode(call_outcome.status_details(error)).decode().rstrip("="),
    }


def _headers_refusal() -> dict[str, object]:
    """Return the refusal of too large headers. Only Envoy knows it: there is no reason of the gateway's for it."""
    ((kind, code, message),) = (
        texts for status, *texts in LOCAL_REPLIES if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    )
    return {
        "status": HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE.value,
        "body": orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).decode(),
        "message": message,
        "grpc_status": grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "grpc_details": "",
    }


def _render(name: str, **values: object) -> str:
    environment = Environment(  # noqa: S701  configuration files, not HTML
        loader=FileSystemLoader(_FILES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"literal": _literal, "word": lambda value: shlex.quote(_literal(value))}
    return environment.get_template(name).render(**values)


def _literal(value: object) -> str:
    """Return a text as supervisord reads it: it expands `%(name)s`."""
    return str(value).replace("%", "%%")


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _allowed_methods() -> list[tuple[str, list[str]]]:
    """Return each public path as a regular expression, with the methods that it takes."""
    return [
        (_PARAMETER.sub(lambda found: ".+" if found[1] == _SLASHED else "[^/]+", path), _methods(operations))
        for path, operations in openapi.describe("", "")["paths"].items()
    ]


def _methods(operations: Iterable[str]) -> list[str]:
    found = {name.upper() for name in operations}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def binary(name: str) -> str:
    """Path of a program that came with the Python environment, or is on PATH. Raises SettingError."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if not found:
        raise SettingError(f"{name} is not installed: run `make setup`")
    return found
