"""`imagegateway doctor`: asks each configured route something that costs nothing, and says what is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.common.errors import GatewayError
from services.common.outbound import Outbound, SentError, UnsentError
from services.common.targets import Target
from services.common.urlguard import Guard
from services.providers import UPSTREAMS

if TYPE_CHECKING:
    from services.common.adapter import Adapter
    from services.common.settings import Settings

_SECONDS: Final = 15.0
_MAX_BYTES: Final = 10 * 1024 * 1024


async def examine(settings: Settings) -> int:
    """Print a line for each route; gives 1 when a configured one does not work."""
    adapters = {adapter.route: adapter for upstream in UPSTREAMS.values() for adapter in upstream.adapters}
    async with Outbound(Guard(settings.allow_hosts)) as outbound:
        verdicts = await asyncio.gather(*(_ask(adapter, settings, outbound) for adapter in adapters.values()))
    for route, (_, words) in zip(adapters, verdicts, strict=True):
        print(f"{route:14} {words}")
    return 0 if all(good for good, _ in verdicts) else 1


async def _ask(adapter: Adapter, settings: Settings, outbound: Outbound) -> tuple[bool, str]:
    """Whether all is well, and the line to print."""
    setting = f"IMAGEGATEWAY_{adapter.route.upper()}"
    try:
        target = Target.of(adapter, settings, "")
    except GatewayError:
        return True, f"not configured: set {setting}_API_KEY"
    probe = adapter.probe()
    if probe is None:
        return True, "configured; the provider has nothing that can be asked without cost"
    try:
        async with outbound.call(
            probe.method,
            target.url(probe.path),
            headers={**probe.headers, **(adapter.auth(target.key) if target.key else {})},
            query=probe.query,
            max_bytes=_MAX_BYTES,
            seconds=_SECONDS,
        ) as answer:
            status = answer.status
    except (UnsentError, SentError, TimeoutError):
        return False, f"can't be reached at {target.base}: check {setting}_BASE_URL and the network"
    if status in {401, 403}:
        return False, f"refuses the key (status {status}): check {setting}_API_KEY"
    if not 200 <= status < 300:
        return False, f"answers with status {status} at {target.base}"
    return True, "works"
