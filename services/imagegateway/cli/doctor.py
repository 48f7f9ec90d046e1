"""`imagegateway doctor`: check of each configured provider route by a request that costs nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from cyclopts import App
from imagegateway.cli.local import settings_here
from imagegateway.cli.options import Json
from imagegateway.cli.terminal import DIM, GREEN, RED, print_document, styled
from imagegateway.outbound.client import Outbound, SentError, UnsentError, UntrustedServerError
from imagegateway.outbound.tunnel import ProxyRefusedError
from imagegateway.platform.setting_source import PREFIX
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import api_key_setting, base_url_setting
from imagegateway.providers.kit.call import Call
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.registry import HTTP_FAMILIES
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.registry import FamilyEntry

_SECONDS: Final = 15.0
_MAX_BYTES: Final = 10 * 1024 * 1024
app = App(name="doctor")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of one route's check. `good`: the route works, or the operator does not use it."""

    route: str
    good: bool
    configured: bool
    message: str
    key_from: str = ""
    """Setting that the route's key comes from, with the path of its file."""


@app.default
def doctor(*, json: Json = False) -> int:
    """Check each configured provider route by a request that costs nothing. Return 1 if one does not work."""
    return asyncio.run(examine(settings_here(), as_json=json))


async def examine(
    current: Settings, families: Mapping[str, FamilyEntry] = HTTP_FAMILIES, *, as_json: bool = False
) -> int:
    """Print a line for each route. Return 1 if a route with any of its settings does not work, else 0."""
    routes = {call.route.name: (adapter, call) for adapter, call in _routes(families)}
    async with Outbound.open(current) as outbound:
        verdicts = await asyncio.gather(
            *(_probe(adapter, call, current, outbound) for adapter, call in routes.values())
        )
    verdicts = [replace(found, key_from=current.source.origin(api_key_setting(found.route))) for found in verdicts]
    if as_json:
        print_document({"object": "list", "data": [asdict(verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            origin = f"  key from {verdict.key_from}" if verdict.key_from else ""
            print(f"{verdict.route:14} {styled(verdict.message, _style(verdict))}{styled(origin, DIM)}")
    return 0 if all(verdict.good for verdict in verdicts) else 1


def _style(verdict: Verdict) -> str:
    if not verdict.good:
        return RED
    return GREEN if verdict.configured else DIM


def _routes(families: Mapping[str, FamilyEntry]) -> Iterator[tuple[Adapter, Call]]:
    """Yield each adapter with a call of the first model that it serves."""
    for family in families.values():
        for adapter in family.load_adapters():
            yield (
                adapter,
                next(
                    Call(pb.ImageTask(model=model.id, route=route.name), model, route, "", 0, 1)
                    for model in family.models
                    for route in model.routes
                    if route.name == adapter.route
                ),
            )


async def _probe(adapter: Adapter, call: Call, current: Settings, outbound: Outbound) -> Verdict:
    """Send a route's probe."""
    name = call.route.name
    required = call.route.required_settings
    missing = [name for name in required if not current.source.origin(name.removeprefix(PREFIX))]
    if missing:
        # Some of several settings are a mistake; none means that the operator does not use the route.
        message = f"not configured: set {' and '.join(missing)}"
        return Verdict(name, missing == list(required), configured=False, message=message)
    endpoint = Endpoint.resolve(adapter, current, "")
    probe = adapter.probe()
    if probe is None:
        message = "configured; the provider has no request without cost"
        return Verdict(name, good=True, configured=True, message=message)
    try:
        async with outbound.call(
            probe.method,
            endpoint.url(probe.path),
            headers={**probe.headers, **(adapter.auth_headers(endpoint.key) if endpoint.key else {})},
            query=probe.query,
            json=probe.json,
            max_bytes=_MAX_BYTES,
            seconds=_SECONDS,
        ) as incoming:
            response = HttpResponse(incoming.status, incoming.headers, await incoming.read())
    except ProxyRefusedError as error:
        message = f"is refused by the egress proxy (status {error.status}): check IMAGEGATEWAY_EGRESS_PROXY"
        return Verdict(name, good=False, configured=True, message=message)
    except (UnsentError, SentError, TimeoutError) as error:
        setting = f"{PREFIX}{base_url_setting(adapter.route)}"
        message = f"can't be reached at {endpoint.base_url}: check {setting} and the network"
        if isinstance(error, UntrustedServerError):
            message = f"has no trusted certificate at {endpoint.base_url}: check {PREFIX}CA_BUNDLE"
        return Verdict(name, good=False, configured=True, message=message)
    if adapter.accepts_key(response):
        return Verdict(name, good=True, configured=True, message="works")
    return Verdict(name, good=False, configured=True, message=_refusal(adapter, call, endpoint, response))


def _refusal(adapter: Adapter, call: Call, endpoint: Endpoint, response: HttpResponse) -> str:
    """Return the meaning of a response that does not accept the key."""
    match adapter.read_error(call, response).reason:
        case ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS:
            names = dict.fromkeys((call.route.api_key_setting, *call.route.required_settings))
            return f"refuses the key (status {response.status}): check {' and '.join(names)}"
        case ErrorReason.ERROR_REASON_PROVIDER_BILLING:
            return f"refuses for lack of credit (status {response.status})"
        case ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED | ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE:
            return f"is busy (status {response.status}): try again later"
        case _:
            return f"responds with status {response.status} at {endpoint.base_url}"
