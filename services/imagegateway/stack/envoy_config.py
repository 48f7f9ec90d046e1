"""Configuration of Envoy: `envoy.yaml` and the settings module of the Lua hooks."""

from __future__ import annotations

import base64
import http.client
import re
import secrets
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import grpc
import orjson
from imagegateway.keys import key_tags
from imagegateway.keys.api_keys import fingerprint
from imagegateway.media.web import openapi
from imagegateway.platform import client_address, ids, machine, sockets
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.grpc_server import MAX_METADATA_BYTES
from imagegateway.platform.hosts import HostPort
from imagegateway.platform.private_files import write_private
from imagegateway.platform.secret import SecretFile
from imagegateway.platform.setting_source import SettingError
from imagegateway.router import call_context, call_outcome
from imagegateway.router.request_body import MAX_FORM_BYTES
from imagegateway.stack import envoy_secrets, envoy_upstreams, public_certificate, stack_metrics
from imagegateway.stack.envoy_upstreams import Upstreams
from imagegateway.stack.public_certificate import CertificateFiles
from imagegateway.stack.templates import FILES, render
from imagegateway.v1 import image_service_pb2
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagegateway.platform.settings import Settings

LUA: Final = FILES / "envoy"
"""Folder of the Lua hooks and Envoy's templates."""
ADMIN_SOCKET: Final = "envoy-admin.sock"
"""Socket of Envoy's administration, in the folder that `document` names."""
_DESCRIPTORS: Final = Path(image_service_pb2.__file__).with_name("descriptors.binpb")
_PARAMETER: Final = re.compile(r"{(\w+)}")
_SLASHED: Final = "model_id"
"""The path parameter whose values contain slashes."""
_OF_ADMIN: Final = ("/v1/admin/", "/v1/usage")
"""Paths that the listener for administration serves."""
_MIB: Final = 1024 * 1024

MAX_RESPONSE_BYTES: Final = 512 * _MIB

_MAX_HEADER_BYTES: Final = MAX_METADATA_BYTES - 4 * 1024
"""Limit of a request's headers. The headers that Envoy adds fit into the rest of the router's limit."""
_MAX_HEADERS: Final = 100

_RESERVED_FILES: Final = 500
"""Open files of Envoy beside client connections and their upstream connections."""
_FEWEST_CONNECTIONS: Final = 200

_ADDRESS_GROUPS: Final = 16
"""Groups of client addresses whose connections Envoy counts. Each group costs Envoy 0.4 MiB of memory."""

_LIMITED_ADDRESSES: Final = 4096
"""Client addresses of each group whose requests Envoy counts. Each costs Envoy some hundred bytes of memory."""
_TOO_MANY_REQUESTS: Final = "Too many requests from your address; try again later."

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
    (429, "rate_limit_error", "rate_limit_exceeded", _TOO_MANY_REQUESTS),
    (431, "invalid_request_error", "headers_too_large", "The request headers are too large."),
    (500, "server_error", "internal", "The gateway failed."),
    (501, "server_error", "not_implemented", "The gateway does not support this kind of request."),
    (502, "server_error", "service_unavailable", "The gateway can't serve this now; try again."),
    (503, "server_error", "service_unavailable", "The gateway can't serve this now; try again."),
    (504, "timeout_error", "timeout", "The gateway took too long."),
)
"""Envoy's own error responses: HTTP status, type, code and message."""


def write(settings: Settings, folder: Path, *, inline_routes: bool = False) -> None:
    """Render Envoy's configuration into a folder, readable by this user only. Raises SettingError.

    `inline_routes`: write routes into `envoy.yaml`, for Envoy's validation mode, which reads no file of routes.
    """
    if files := CertificateFiles.of(settings):
        files.write(folder)
    if internal := settings.internal.tls_files:
        envoy_upstreams.write_certificates(internal, folder)
    write_private(folder / "edge_settings.lua", edge_settings(settings))
    values = {**_values(settings, folder, Upstreams.of_stack(settings)), "api": settings.socket("envoy-api")}
    write_private(folder / "envoy.yaml", render("envoy/envoy.yaml.j2", inline_routes=inline_routes, **values))
    if inline_routes:
        return
    for listener in ("public", "admin") if settings.admin_listen else ("public",):
        table = render("envoy/route_table.yaml.j2", table=listener, **values)
        write_private(folder / f"{listener}_routes.yaml", table)


def document(settings: Settings, upstreams: Upstreams, folder: Path | None = None) -> str:
    """Return the configuration of an Envoy that runs alone, in one document. Raises SettingError.

    `folder`: folder for copies of the files that the document names. Without it, the document names files of this
    package and of `run/`, and holds the settings of the hooks, a secret, itself.
    """
    upstreams.check_certificates(settings)
    if folder is None:
        settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        sockets.make_folder(settings.socket("envoy-admin").parent)
        _write_certificates(settings, settings.run_dir)
        values = {**_values(settings, settings.run_dir, upstreams), "edge_settings": edge_settings(settings)}
    else:
        folder.mkdir(parents=True, exist_ok=True)
        lua = folder / "lua"
        shutil.copytree(LUA, lua, ignore=shutil.ignore_patterns("*.j2"), dirs_exist_ok=True)
        descriptors = Path(shutil.copy(_DESCRIPTORS, folder))
        write_private(folder / "edge_settings.lua", edge_settings(settings))
        _write_certificates(settings, folder)
        files = {"lua": lua, "descriptors": descriptors, "admin": folder / ADMIN_SOCKET}
        values = {**_values(settings, folder, upstreams), **files}
    # `up` has that port for its whole stack; an Envoy that runs alone takes the port where it is set.
    metrics = HostPort(settings.metrics_host, settings.metrics_port) if settings.metrics_port_is_set else None
    values |= {"metrics": metrics, "metrics_url": stack_metrics.ENVOY_URL}
    return render("envoy/envoy.yaml.j2", inline_routes=True, **values)


def _write_certificates(settings: Settings, folder: Path) -> None:
    """Write the files through which an Envoy that runs alone reads certificates."""
    if settings.edge.tls_cert and settings.edge.tls_key:
        resource = folder / public_certificate.RESOURCE
        envoy_secrets.write_certificate(resource, "public", settings.edge.tls_cert, settings.edge.tls_key)
    if internal := settings.internal.tls_files:
        envoy_upstreams.write_certificates(internal, folder)


def _values(settings: Settings, folder: Path, upstreams: Upstreams) -> dict[str, object]:
    """Return the values of the templates. `folder`: folder of the files that Envoy reads."""
    internal_tls = {
        "certificate": folder / envoy_upstreams.CERTIFICATE,
        "authority": folder / envoy_upstreams.AUTHORITY,
    }
    allowed_methods = _allowed_methods()
    connections = connection_limit(settings.connections, machine.open_files())
    return {
        "folder": folder,
        "admin": settings.socket("envoy-admin"),
        "api": None,
        "metrics": None,
        "edge_settings": None,
        "host": settings.host,
        "port": settings.port,
        "http3": settings.edge.http3,
        "trusted_proxies": settings.edge.trusted_proxies,
        "client_address": client_address.HEADER,
        "public_port": urlsplit(settings.public_url).port or http.client.HTTPS_PORT,
        "certificate": folder / public_certificate.RESOURCE if settings.edge.tls_cert else None,
        "lua": LUA,
        "descriptors": _DESCRIPTORS,
        "upstreams": upstreams,
        "internal_tls": internal_tls if settings.internal.tls_files else None,
        "max_form_bytes": MAX_FORM_BYTES,
        "max_response_bytes": MAX_RESPONSE_BYTES,
        "local_replies": LOCAL_REPLIES,
        "connections": connections,
        "address_share": settings.address_share / 100,
        "address_connections": connections * settings.address_share // 100,
        "address_groups": _ADDRESS_GROUPS,
        "address_seed": secrets.randbits(63),  # random, so that a caller can't choose addresses of one group
        "address_rpm": settings.address_rpm,
        "limited_addresses": _LIMITED_ADDRESSES,
        "address_refusal": _refusal(_address_refusal(settings)),
        "max_heap_bytes": settings.edge_memory * _MIB,
        "admin_listen": settings.admin_listen,
        "allowed_methods": allowed_methods,
        "admin_methods": [(path, methods) for path, methods in allowed_methods if path.startswith(_OF_ADMIN)],
    }


def connection_limit(wanted: int, open_files: int) -> int:
    """Return the limit of client connections: `wanted`, or fewer if the limit of open files requires it.

    A client connection counts twice: a form or a download has its own upstream connection. Raises SettingError if
    fewer than 200 connections remain.
    """
    allowed = (open_files - _RESERVED_FILES) // 2
    if allowed < _FEWEST_CONNECTIONS:
        raise SettingError(
            f"this process may have {open_files} files open (`ulimit -Hn`); Envoy needs "
            f"{2 * _FEWEST_CONNECTIONS + _RESERVED_FILES} or more"
        )
    return min(wanted, allowed)


def edge_settings(settings: Settings) -> str:
    """Return the Lua module with the key tags and refusals that Envoy's hooks use. Raises SettingError."""
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
        "address": _address_refusal(settings),
    }
    return render(
        "envoy/edge_settings.lua.j2",
        signing_keys=key_tags.signing_keys(settings),
        adopted_key=settings.api_key.reveal(),
        adopted_key_file=settings.api_key.path.absolute() if isinstance(settings.api_key, SecretFile) else "",
        fingerprint=fingerprint,
        max_header_bytes=_MAX_HEADER_BYTES,
        max_headers=_MAX_HEADERS,
        request_id_characters=ids.REQUEST_ID_CHARACTERS,
        request_id_max_length=ids.REQUEST_ID_MAX_LENGTH,
        refusals={"headers": _headers_refusal(), **{name: _refusal(error) for name, error in refusals.items()}},
    )


def _refusal(error: GatewayError) -> dict[str, object]:
    """Return an error in the hooks' form: status and body for REST; status, message and details for gRPC."""
    return {
        "status": error.meaning.http,
        "body": orjson.dumps(error.body()).decode(),
        "message": error.message,
        "grpc_status": error.meaning.grpc.value[0],
        "grpc_details": base64.b64encode(call_outcome.status_details(error)).decode().rstrip("="),
    }


def _headers_refusal() -> dict[str, object]:
    """Return the refusal of too large headers. Only Envoy raises this error, so no ErrorReason exists."""
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


def _address_refusal(settings: Settings) -> GatewayError:
    """Return the refusal of an address with too many requests. The next one is permitted within the stated time."""
    seconds = 60 / settings.address_rpm if settings.address_rpm else None
    return GatewayError(ErrorReason.ERROR_REASON_RATE_LIMIT_EXCEEDED, _TOO_MANY_REQUESTS, retry_after=seconds)


def _allowed_methods() -> list[tuple[str, list[str]]]:
    """Return each public path as a regular expression, with its methods."""
    return [
        (_PARAMETER.sub(lambda found: ".+" if found[1] == _SLASHED else "[^/]+", path), _methods(operations))
        for path, operations in openapi.load()["paths"].items()
    ]


def _methods(operations: Iterable[str]) -> list[str]:
    found = {name.upper() for name in operations}
    return sorted(found | {"HEAD"} if "GET" in found else found)
