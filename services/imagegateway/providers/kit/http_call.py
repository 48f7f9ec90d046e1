"""HTTP call to a provider: the only code that sends requests to providers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from imagegateway.outbound.client import SentError, UnsentError
from imagegateway.outbound.tunnel import ProxyRefusedError
from imagegateway.outbound.url_guard import UrlRefusedError
from imagegateway.platform import logs, metrics
from imagegateway.providers.kit.error_table import Failure, bad_response
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.outbound.client import Outbound, StreamingResponse
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.endpoints import Endpoint
    from imagegateway.providers.kit.http_messages import HttpRequest, HttpResponse
    from imagegateway.providers.kit.response_spool import ResponseSpool
    from prometheus_client import Histogram

MAX_RESPONSE_BYTES: Final = 256 * 1024 * 1024
"""Largest response that is read whole."""
_STATUSES: Final = frozenset(HTTPStatus)
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class HttpSender:
    """Sender of adapters' requests.

    Only the route's own base URL and the adapter's trusted hosts receive the key. A response named every other
    address, so those are called under the URL guard.
    """

    outbound: Outbound
    spool: ResponseSpool

    async def send(
        self,
        adapter: Adapter,
        endpoint: Endpoint,
        request: HttpRequest,
        job_id: str,
        read: Callable[[StreamingResponse], Awaitable[HttpResponse]] | None = None,
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> HttpResponse | Failure:
        """Send a request, and return its response as `read` returns it, whatever the status.

        `read`: by default `spool.receive`.

        The failure of a request without a whole response states whether the provider may bill it.
        """
        url = endpoint.url(request.path)
        is_trusted = endpoint.trusts(url, adapter.trusted_hosts)
        seconds = endpoint.timeout_seconds if request.timeout_seconds is None else request.timeout_seconds
        began = time.perf_counter()
        status: int | None = None
        broken: str | None = None
        try:
            async with self.outbound.call(
                request.method,
                url,
                headers={
                    **request.headers,
                    **(adapter.auth_headers(endpoint.key) if is_trusted and endpoint.key else {}),
                },
                query=request.query,
                json=request.json,
                fields=request.fields,
                files=[(file.field, (file.filename, file.data, file.media_type)) for file in request.files],
                multipart=request.multipart,
                max_bytes=max_bytes,
                seconds=seconds,
                guarded=not is_trusted,
            ) as incoming:
                status = incoming.status
                return await (read or self.spool.receive)(incoming)
        except UrlRefusedError as error:
            broken = error.reason
            return _UNREACHABLE if error.transient else bad_response("named an address that may not be called.")
        except UnsentError as error:
            broken = error.reason
            return _UNREACHABLE
        except ProxyRefusedError as error:
            broken = error.reason
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
                f"The proxy of this gateway refuses the connection to the provider (status {error.status}): its "
                "operator must check IMAGEGATEWAY_EGRESS_PROXY and the proxy's rules.",
            )
        except TimeoutError:
            broken = "its server did not answer in time"
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
                f"The provider did not answer within {seconds:g} s.",
                may_be_billed=True,
            )
        except SentError as error:
            broken = error.reason
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
                "The connection to the provider broke during the call; whether it took the job is not known.",
                may_be_billed=True,
            )
        finally:
            duration = time.perf_counter() - began
            _seconds(adapter.route, status).observe(duration)
            _log.info(
                "upstream_call_finished",
                route=adapter.route,
                job_id=job_id,
                method=request.method,
                path=urlsplit(url).path,
                upstream_status=status,
                error=broken,
                duration_ms=round(duration * 1000, 1),
            )


@cache
def _seconds(route: str, status: int | None) -> Histogram:
    return metrics.PROVIDER_REQUEST_SECONDS.labels(route, _status_label(status))


def _status_label(status: int | None) -> str:
    """Return the label of a status: a provider may answer with any number."""
    if status is None:
        return "none"
    return str(status) if status in _STATUSES else metrics.OTHER


_UNREACHABLE: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "The provider can't be reached.", retry_after=2
)
