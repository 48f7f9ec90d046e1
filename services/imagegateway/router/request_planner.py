"""Request planner: validates requests for the caller, and takes in the images of edits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imagegateway.platform.errors import unsupported
from imagegateway.providers.catalog import Modality
from imagegateway.router.input_images import InputImages, InputRole
from imagegateway.router.validation import sizes
from imagegateway.router.validation.request import validate_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagegateway.keys.provider_keys import ProviderKeys
    from imagegateway.media.decoding import DecodeBudget
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.router.call_context import Call
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.ports import ReadinessGate
    from imagegateway.router.validation.draft import Request
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1 import image_service_pb2 as pb


class RequestPlanner:
    """Planner of requests. `is_open(tenant, model, route)` returns True for an open circuit breaker."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        provider_keys: ProviderKeys,
        is_open: Callable[[str, str, str], bool],
        readiness: ReadinessGate,
        store: MediaStore,
        outbound: Outbound,
        decode_budget: DecodeBudget,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._provider_keys = provider_keys
        self._is_open = is_open
        self._readiness = readiness
        self._store = store
        self._outbound = outbound
        self._decode_budget = decode_budget

    def plan_generation(self, request: pb.GenerateRequest, call: Call, unknown: Sequence[str] = ()) -> Plan:
        """Return the plan of a generation. `unknown`: as in `validate_request`. Raises GatewayError."""
        plan = self._plan(request, call, self._settings.default_generate_model, unknown)
        _log_plan(call, plan)
        return plan

    def plan_video(self, request: pb.GenerateRequest, call: Call, unknown: Sequence[str] = ()) -> Plan:
        """Return the plan of a video, as `plan_generation`. Raises GatewayError for models that make images."""
        plan = self._plan(request, call, self._settings.default_video_model, unknown)
        if plan.model.modality != Modality.VIDEO:
            raise unsupported("model", f"{plan.model.id} makes no videos; send it to /v1/images/generations.")
        _log_plan(call, plan)
        return plan

    async def plan_edit(
        self, request: pb.EditRequest, call: Call, inputs: InputImages, unknown: Sequence[str] = ()
    ) -> Plan:
        """Return the plan of an edit, and take in the images that its fields name. Raises GatewayError."""
        plan = self._plan(
            request,
            call,
            self._settings.default_edit_model,
            unknown,
            has_mask=inputs.has_guide(request, InputRole.MASK),
            has_markup=inputs.has_guide(request, InputRole.MARKUP),
        )
        await inputs.take_request(request)
        await inputs.attach_to(plan)
        first = plan.task.inputs[0]
        sizes.fit_to_input(plan, first.width, first.height)
        _log_plan(call, plan)
        return plan

    def open_inputs(self, call: Call) -> InputImages:
        """Return the context of an edit's images: leaving it deletes those that no job has taken over.

        Raises UnavailableError when no new job can be kept.
        """
        self._readiness.require()
        return InputImages(self._store, self._outbound, self._decode_budget, call.tenant)

    def _plan(
        self,
        request: Request,
        call: Call,
        default_model: str,
        unknown: Sequence[str],
        *,
        has_mask: bool = False,
        has_markup: bool = False,
    ) -> Plan:
        # Before validation, so that the log line and the metrics of a refused request name the model, too.
        if model_id := self._catalog.aliases.get((request.model or default_model).lower()):
            call.log["model"] = model_id
        return validate_request(
            request,
            self._catalog,
            default_model,
            call.preferences,
            has_mask=has_mask,
            has_markup=has_markup,
            unknown=unknown,
            byok=call.byok,
            stored_keys=self._provider_keys.of(call.tenant),
            is_open=partial(self._is_open, call.tenant),
            permissions=call.permissions,
            response_format=call.caller.response_format,
        )


def _log_plan(call: Call, plan: Plan) -> None:
    call.log["model"] = plan.model.id
    call.log["provider"] = plan.route.name
    call.headers["x-imagegateway-provider"] = plan.route.name
