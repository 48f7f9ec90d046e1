"""gRPC channels between the gateway's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.grpc_server import CHANNEL_OPTIONS

if TYPE_CHECKING:
    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_tls import InternalTls, Role

_OPTIONS: Final = (
    *CHANNEL_OPTIONS,
    # A new channel would share the connection of a closed one, and wait for the end of its backoff.
    ("grpc.use_local_subchannel_pool", 1),
)
_TCP_OPTIONS: Final = (
    *_OPTIONS,
    # A host that vanishes closes no connection: without an answer for 15 s, calls fail and go elsewhere.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC would send internal calls through HTTPS_PROXY, which is for outbound calls.
    ("grpc.enable_http_proxy", 0),
)


async def open_channel(address: Address, tls: InternalTls | None, role: Role) -> grpc.aio.Channel:
    """Return a channel to a server of a role, which need not run yet without TLS.

    Raises PeerRoleError for a server of another role, OSError and TimeoutError without a TLS connection.
    """
    if not isinstance(address, TcpAddress):
        return grpc.aio.insecure_channel(str(address), options=_OPTIONS)
    if tls is None:
        return grpc.aio.insecure_channel(address.authority, options=_TCP_OPTIONS)
    name = await tls.server_name(address, role)
    return grpc.aio.secure_channel(
        address.authority,
        tls.material.channel_credentials,
        options=(*_TCP_OPTIONS, ("grpc.ssl_target_name_override", name)),
    )
