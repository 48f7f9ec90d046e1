"""Audit trail of administrative calls: caller, method, address and outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from imagegateway.admin.v1 import audit_event_pb2 as pb
from imagegateway.keys.audit_log import FAILED, SUCCEEDED
from imagegateway.keys.operator_tokens import OPERATOR_ID
from imagegateway.platform.client_address import client_address
from imagegateway.platform.errors import INTERNAL, GatewayError, UnavailableError
from imagegateway.router import call_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message
    from imagegateway.jobs.background_tasks import BackgroundTasks
    from imagegateway.keys.audit_log import AuditLog
    from imagegateway.router.call_context import Call

_LONGEST: Final = 500
"""Characters of a recorded value."""
_NOT_RECORDED: Final = frozenset({"id", "tenant", "update_mask", "page_size", "page_token"})
_T = TypeVar("_T")


class AuditTrail:
    """Writer of the audit events of calls. `tasks` own changes, so that a caller that disconnects breaks none off."""

    def __init__(self, log: AuditLog, tasks: BackgroundTasks) -> None:
        self._log = log
        self._tasks = tasks

    async def read(self, request: Message, answer: Awaitable[_T], target: str = "") -> _T:
        """Return the answer of a call that changes nothing, after its audit event is written.

        Raises UnavailableError, and what `answer` raises.
        """
        event = self._event(request, target)
        try:
            result = await answer
        except Exception as error:
            event.error = _code(error)
            event.outcome = FAILED
            await self._log.write(event)
            raise
        event.outcome = SUCCEEDED
        await self._log.write(event)
        return result

    async def change(
        self,
        request: Message,
        change: Callable[[], Awaitable[_T]],
        target: str = "",
        about: Callable[[_T], tuple[str, str]] | None = None,
    ) -> _T:
        """Make a change between the two writes of its audit event.

        `about` returns the event's target and tenant from the result. Raises UnavailableError before the change, and
        what `change` raises.
        """
        event = self._event(request, target)

        async def recorded() -> _T:
            async with self._log.change(event):
                try:
                    result = await change()
                except Exception as error:
                    event.error = _code(error)
                    raise
                if about:
                    event.target, event.tenant = about(result)
                return result

        return await self._tasks.complete(recorded())

    def _event(self, request: Message, target: str) -> pb.AuditEvent:
        call = call_context.current()
        event = self._log.event(_actor(call), call.method, target, getattr(request, "tenant", ""))
        event.request_id = call.request_id
        event.address = client_address(call.metadata)
        event.fields.update({name: text for name, text in _fields(request).items() if text != target})
        return event


def _fields(request: Message) -> Mapping[str, str]:
    """Return the fields of a request as text. A field that returns to its default is empty."""
    mask = getattr(request, "update_mask", None)
    cleared = dict.fromkeys(mask.paths, "") if mask else {}
    recorded = ((field, value) for field, value in request.ListFields() if field.name not in _NOT_RECORDED)
    return cleared | {field.name: _text(field, value)[:_LONGEST] for field, value in recorded}


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.is_repeated:
        return ", ".join(map(str, value))
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return f"{value:.15g}"
    return str(value).lower() if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else str(value)


def _code(error: Exception) -> str:
    """Return the code of the caller's error for an exception."""
    if isinstance(error, UnavailableError):
        error = error.as_gateway_error()
    return error.code if isinstance(error, GatewayError) else INTERNAL.code


def _actor(call: Call) -> pb.AuditActor:
    key = call.caller
    if key.id == OPERATOR_ID:
        return pb.AuditActor(type="operator", name=key.name)
    return pb.AuditActor(type="key", id=key.id, tenant=key.tenant, name=key.name)
