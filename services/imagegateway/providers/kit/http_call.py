"""One request to a provider, and what can be said when no whole answer comes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from imagegateway.outbound.client import SentError, UnsentError
from imagegateway.outbound.url_guard import UrlRefusedError
from imagegateway.platform import logs
from imagegateway.providers.kit.error_table import Failure, bad_response
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.outbound.client import Incoming, Outbound
    from imagegateway.providers.kit.adapter import Adapter, Outgoing, Reply
    from imagegateway.providers.kit.endpoints import Target
    from imagegateway.providers.kit.reply_memory import ReplyMemory

MAX_REPLY_BYTES: Final = 256 * 1024 * 1024
"""Largest answer that is read whole."""
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends adapters' requests. A key goes to the route's own base URL and to the adapter's listed hosts only; every
    other address was named by an answer, and is called as any URL from outside.
    """

    outbound: Outbound
    memory: ReplyMemory

    async def send(
        self,
        adapter: Adapter,
        target: Target,
        outgoing: Outgoing,
        job_id: str,
        read: Callable[[Incoming], Awaitable[Reply]] | None = None,
        *,
        max_bytes: int = MAX_REPLY_BYTES,
    ) -> Reply | Failure:
        """Send a request and `read` its answer, whatever its status; by default `memory.receive` does. A failure says
        whether anything was taken.
        """
        url = target.url(outgoing.path)
        trusted = target.trusts(url, adapter.hosts)
        seconds = adapter.seconds if outgoing.seconds is None else outgoing.seconds
        began = time.perf_counter()
        status: int | None = None
        try:
            async with self.outbound.call(
                outgoing.method,
                url,
                headers={**outgoing.headers, **(adapter.auth(target.key) if trusted and target.key else {})},
                query=outgoing.query,
                json=outgoing.json,
                fields=outgoing.fields,
                files=[(file.field, (file.filename, file.data, file.media_type)) for file in outgoing.files],
                multipart=outgoing.multipart,
                max_bytes=max_bytes,
                seconds=seconds,
                guarded=not trusted,
            ) as incoming:
                status = incoming.status
                return await (read or self.memory.receive)(incoming)
        except UrlRefusedError as error:
            return _AWAY if error.transient else bad_response("named an address that may not be called.")
        except UnsentError:
            return _AWAY
        except TimeoutError:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
                f"The provider did not answer within {seconds:g} s.",
                accepted=True,
            )
        except SentError:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
                "The connection to the provider broke during the call; whether it took the job is not known.",
                accepted=True,
            )
        finally:
            _log.info(
                "upstream_call_finished",
                route=adapter.route,
                job_id=job_id,
                method=outgoing.method,
                path=urlsplit(url).path,
                upstream_status=status,
                duration_ms=round((time.perf_counter() - began) * 1000, 1),
            )


_AWAY: Final = Failure(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "The provider can't be reached.", retry_after=2)
