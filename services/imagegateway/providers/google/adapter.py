"""Adapter of Google's Gemini API: four APIs behind one host and one key; the catalog names the API of each model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imagegateway.providers.google import failures
from imagegateway.providers.google.catalog import API_NAMES, ApiName
from imagegateway.providers.google.gemini import Gemini
from imagegateway.providers.google.imagen import Imagen
from imagegateway.providers.google.omni import Omni
from imagegateway.providers.google.veo import Veo
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Pending, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.providers.google.api import Api
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_APIS: Final[Mapping[ApiName, Api]] = {
    ApiName.GENERATE_CONTENT: Gemini(),
    ApiName.PREDICT: Imagen(),
    ApiName.PREDICT_LONG_RUNNING: Veo(),
    ApiName.INTERACTIONS: Omni(),
}


class GoogleAdapter(Adapter):
    """Adapter of the route `google`. Source: ai.google.dev and google-genai 3.4.0, read 2026-11-22."""

    route = "google"
    default_base_url = "https://generativelanguage.googleapis.com"
    version = "/v1beta"
    trusted_hosts = ("generativelanguage.googleapis.com",)
    errors = failures.ERRORS

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"x-goog-api-key": credential}

    def base_url(self, base: str, setting: Callable[[str], str]) -> str:
        """Return the base URL, which may also end in `/v1`: both versions serve the same API."""
        return base if base.endswith("/v1") else super().base_url(base, setting)

    def submit(self, call: Call) -> HttpRequest:
        return _api(call).submit(call)

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        return failures.embedded_error(response) or _api(call).read_submit(call, response)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return _api(call).poll(ref)

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        return failures.embedded_error(response) or _api(call).read_poll(call, ref, response)

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status == 404:  # names the task, not the model
            return Unknown("not found")
        if response.status == 409:
            return Pending(ref, after=5.0)
        outcome = super().read_poll_error(call, ref, response)
        return replace(outcome, may_be_billed=True) if isinstance(outcome, Failure) else outcome

    def cancel(self, call: Call, ref: str) -> HttpRequest | None:
        return _api(call).cancel(ref)

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/models", query={"pageSize": "1"})

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        return failures.read_error(response)


def _api(call: Call) -> Api:
    return _APIS[API_NAMES[call.route.native_id]]
