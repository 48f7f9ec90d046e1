"""Channel to the gateway that authenticates calls and retries them without a second bill."""

from __future__ import annotations

import copy
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from imagegateway.v1.image_service_pb2 import EditRequest, GenerateRequest

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_RESPONSE_BYTES: Final = 512 * 1024 * 1024
"""Largest response of the gateway."""

SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {
                # All methods of this service are idempotent: reads, CancelJob, and Generate and Edit by `request_id`.
                "name": [{"service": "imagegateway.v1.ImageService"}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)
"""gRPC service config. Only UNAVAILABLE is retried."""


def connect(target: str, api_key: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """Return a channel for the stubs of `imagegateway.v1`. Close the channel after use, or use it in `with`.

    `target` is the gateway's `host:port`. Without `credentials` the channel is not encrypted; pass
    `grpc.ssl_channel_credentials()` for TLS. Each call carries the API key. Calls that fail with UNAVAILABLE are
    repeated up to 3 times; Generate and Edit get a random `request_id` unless the request has one, so the gateway
    returns the same job to each attempt.
    """
    options = [
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ]
    if credentials is None:
        channel = grpc.insecure_channel(target, options=options)
    else:
        channel = grpc.secure_channel(target, credentials, options=options)
    return grpc.intercept_channel(channel, _Interceptor(api_key))


@dataclass(frozen=True, slots=True)
class _CallDetails(grpc.ClientCallDetails):
    """Properties of a call, with metadata added."""

    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Interceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Interceptor that adds the API key, and an idempotency key to requests without one."""

    def __init__(self, api_key: str) -> None:
        self._authorization = ("authorization", f"Bearer {api_key}")

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:
        return continuation(self._authorized(client_call_details), _idempotent(request))

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:
        return continuation(self._authorized(client_call_details), request)

    def _authorized(self, details: grpc.ClientCallDetails) -> _CallDetails:
        return _CallDetails(
            details.method,
            details.timeout,
            (*(details.metadata or ()), self._authorization),
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


def _idempotent(request: object) -> object:
    """Return the request with a `request_id`, if its type has one. The caller's message is not changed."""
    if not isinstance(request, GenerateRequest | EditRequest) or request.request_id:
        return request
    copied = copy.copy(request)
    copied.request_id = str(uuid.uuid4())
    return copied
