"""`imagegateway doctor`: asks each configured route something that costs nothing, and says what is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from imagegateway.outbound.client import Outbound, SentError, UnsentError
from imagegateway.outbound.url_guard import Guard
from imagegateway.platform.setting_source import PREFIX
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import base_url_setting
from imagegateway.providers.kit.adapter import Call, HttpResponse
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.providers.registry import HTTP_FAMILIES
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.registry import FamilyEntry

_SECONDS: Final = 15.0
_MAX_BYTES: Final = 10 * 1024 * 1024


async def examine(settings: Settings, families: Mapping[str, FamilyEntry] = HTTP_FAMILIES) -> int:
    """Print a line for each route; gives 1 when one that has any of its settings does not work."""
    routes = {call.route.name: (adapter, call) for adapter, call in _routes(families)}
    async with Outbound(Guard(settings.allow_hosts)) as outbound:
        verdicts = await asyncio.gather(
            *(_ask(adapter, call, settings, outbound) for adapter, call in routes.values())
        )
    for route, (_, words) in zip(routes, verdicts, strict=True):
        print(f"{route:14} {words}")
    return 0 if all(good for good, _ in verdicts) else 1


def _routes(families: Mapping[str, FamilyEntry]) -> Iterator[tuple[Adapter, Call]]:
    """Every adapter, with a call of the first model that it serves."""
    for family in families.values():
        for adapter in family.adapters:
            yield (
                adapter,
                next(
                    Call(pb.ImageTask(model=model.id, route=route.name), model, route, "", 0, 1)
                    for model in family.models
                    for route in model.routes
                    if route.name == adapter.route
                ),
            )


async def _ask(adapter: Adapter, call: Call, settings: Settings, outbound: Outbound) -> tuple[bool, str]:
    """Whether all is well, and the line to print."""
    wanted = call.route.required_settings
    missing = [name for name in wanted if not settings.source.text(name.removeprefix(PREFIX))]
    if missing:
        # One of several is a mistake; none is a route that nobody wants.
        return missing == list(wanted), f"not configured: set {' and '.join(missing)}"
    endpoint = Endpoint.resolve(adapter, settings, "")
    probe = adapter.probe()
    if probe is None:
        return True, "configured; the provider has nothing that can be asked without cost"
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
    except (UnsentError, SentError, TimeoutError):
        setting = f"{PREFIX}{base_url_setting(adapter.route)}"
        return False, f"can't be reached at {endpoint.base_url}: check {setting} and the network"
    return _verdict(adapter, call, endpoint, response)


def _verdict(adapter: Adapter, call: Call, endpoint: Endpoint, response: HttpResponse) -> tuple[bool, str]:
    """As `_ask`, from the probe's answer."""
    if adapter.accepts_key(response):
        return True, "works"
    match adapter.read_error(call, response).reason:
        case ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS:
            names = dict.fromkeys((call.route.api_key_setting, *call.route.required_settings))
            words = f"refuses the key (status {response.status}): check {' and '.join(names)}"
        case ErrorReason.ERROR_REASON_PROVIDER_BILLING:
            words = f"refuses for lack of credit (status {response.status})"
        case ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED | ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE:
            words = f"is busy (status {response.status}): ask again later"
        case _:
            words = f"answers with status {response.status} at {endpoint.base_url}"
    return False, words
