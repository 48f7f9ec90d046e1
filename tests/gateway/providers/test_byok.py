"""Callers' own provider keys: they reach the provider that they are for, in that call alone, and are kept nowhere."""

from __future__ import annotations

import base64
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.gateway.providers.asking import over_both, over_grpc, over_rest, path, request
from tests.gateway.providers.failing import ROUTES
from tests.gateway.providers.test_failures import changed
from tests.gateway.rest import assert_error
from tests.support import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.emulators.base import Emulator
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

SDXL: Final = "stability-ai/sdxl"
_PLACE: Final = "https://example.com/fox.safetensors"
LORAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "replicate": {"url": _PLACE, "scale": 0.5},
    "fal": {"url": _PLACE, "scale": 0.5},
    "automatic1111": {"id": "fox", "scale": 0.5},
}


def new_key(route: str) -> str:
    """Return a key of a caller's own, in the shape of the provider's."""
    secret = f"caller-{secrets.token_hex(20)}"
    return f"me:{secret}" if route in {"automatic1111", "fal"} else secret


def shown(emulator: Emulator) -> list[str]:
    """Return the headers of every request, user and password in clear."""
    texts = []
    for sent in emulator.sent:
        values = [str(value) for value in sent.headers.values()]
        values += [base64.b64decode(value[6:]).decode() for value in values if value.startswith("Basic ")]
        texts.append("\n".join(values))
    return texts


def holding(caller: Caller, text: str) -> list[str]:
    """Return the files of the stack, its captured output among them, that contain a text or its base64."""
    folder = caller.stack.folder
    found = files.holding(folder, text, base64.b64encode(text.encode()).rstrip(b"="))
    return [str(file.relative_to(folder)) for file in found]


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_key_reaches_its_provider_and_is_kept_nowhere(caller: Caller, providers: Providers, route: str) -> None:
    emulator, key = providers[route], new_key(route)
    operators = emulator.key
    with changed(emulator, key=key):  # the operator's is refused now
        for said in over_both(caller, request(ROUTES[route].model), {f"X-BYOK-{route}": key}):
            assert said.failure is None, said.failure
            assert said.document["provider"] == said.headers["x-imagegateway-provider"] == route
            assert key not in str(said)
    assert set(providers.calls()) == {route}
    assert providers.billed() == {route: 2}
    texts = shown(emulator)
    assert len([text for text in texts if key in text]) >= 2
    assert not [text for text in texts if operators in text]
    assert not holding(caller, key)
    providers.forget()  # the next call is the operator's again
    assert over_rest(caller, request("bfl/flux-2-dev")).failure is None
    assert operators in "".join(shown(providers["cloudflare"])) or route != "cloudflare"
    assert key not in "".join(shown(providers["cloudflare"]))


@pytest.mark.parametrize("ask", [over_rest, over_grpc])
def test_provider_refuses_a_callers_bad_key(caller: Caller, providers: Providers, ask: Any) -> None:
    """The caller's gateway key is right: no 401."""
    said = ask(caller, request("bfl/flux-2-pro"), {"x-byok-bfl": "caller-wrong"})
    assert said.failure is not None
    assert said.failure.code == "provider_credentials"
    assert "caller-wrong" not in said.failure.message
    assert providers.calls() == {"bfl": 1}


def test_key_serves_a_job_through_its_polls_encrypted_at_rest(caller: Caller, providers: Providers) -> None:
    emulator, key, words = providers["bfl"], new_key("bfl"), f"kite {secrets.token_hex(8)}"
    with changed(emulator, key=key, script=("Pending", "Pending", "Ready")):
        fields = request("bfl/flux-2-pro", prompt=words)
        answer = caller.ask("POST", path(fields), fields, {"prefer": "respond-async", "x-byok-bfl": key})
        assert answer.status == 202, answer.body
        job_id = answer.json()["id"]
        caller.until(job_id, "running")
        assert holding(caller, words), "the record is on disk, where its words can be read"
        assert not holding(caller, key)
        job = caller.end(job_id)
    assert (job["status"], job["provider"]) == ("completed", "bfl")
    assert key not in str(job)
    polls = [text for sent, text in zip(emulator.sent, shown(emulator), strict=True) if "get_result" in sent.path]
    assert len(polls) == 3
    assert all(key in text for text in polls)
    delivered = [text for sent, text in zip(emulator.sent, shown(emulator), strict=True) if "delivery" in sent.path]
    assert delivered
    assert not [text for text in delivered if key in text], "a result's host gets no key"
    assert not holding(caller, key)
    assert providers.calls().keys() == {"bfl"}


@pytest.mark.parametrize(("route", "model"), [("openai", "bfl/flux-2-pro"), ("unknown", SDXL), ("stability", SDXL)])
def test_route_that_the_model_lacks_is_refused(caller: Caller, providers: Providers, route: str, model: str) -> None:
    first, second = over_both(caller, request(model), {f"x-byok-{route}": "caller-key"})
    assert first.failure is not None
    assert first.failure == second.failure
    assert (first.failure.code, str(first.failure.param).lower()) == ("invalid_value", f"x-byok-{route}")
    assert not providers.calls()


@pytest.mark.parametrize("route", sorted(LORAS))
def test_lora_runs_on_the_callers_account(caller: Caller, providers: Providers, route: str) -> None:
    emulator, key = providers[route], new_key(route)
    with changed(emulator, key=key):
        fields = request(SDXL, loras=[dict(LORAS[route])])
        for said in over_both(caller, fields, {f"x-byok-{route}": key}):
            assert said.failure is None, said.failure
            assert said.document["provider"] == route
    assert providers.billed() == {route: 2}
    bodies = [sent.json for sent in emulator.sent if sent.method == "POST"]
    for body in bodies:
        if route == "replicate":
            made = body["input"]
            assert (made["replicate_weights"], made["lora_scale"]) == (_PLACE, 0.5)
        elif route == "fal":
            assert body["loras"] == [{"path": _PLACE, "scale": 0.5}]
        else:
            assert "<lora:fox:0.5>" in body["prompt"]
    assert len(bodies) == 2


def test_lora_without_a_key_of_the_callers_is_forbidden(caller: Caller, providers: Providers) -> None:
    fields = request(SDXL, loras=[dict(LORAS["fal"])])
    first, second = over_both(caller, fields)
    assert first.failure is not None
    assert first.failure == second.failure
    assert (first.failure.code, first.failure.param) == ("byok_required", "loras")
    assert_error(caller.ask("POST", path(fields), fields), 403, "byok_required", "loras", "permission_error")
    assert not providers.calls()


@pytest.mark.parametrize("model", ["stability-ai/stable-image-core", "bfl/flux-2-pro", "openai/gpt-image-1"])
def test_lora_on_another_model_is_refused(caller: Caller, providers: Providers, model: str) -> None:
    route = model.partition("/")[0].replace("stability-ai", "stability")
    first, second = over_both(caller, request(model, loras=[{"url": _PLACE}]), {f"x-byok-{route}": "caller-key"})
    assert first.failure is not None
    assert first.failure == second.failure
    assert (first.failure.code, first.failure.param) == ("unsupported_parameter", "loras")
    assert not providers.calls()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/fox.safetensors",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/fox.safetensors",
        "https://[::1]/fox.safetensors",
        "https://user:password@example.com/fox.safetensors",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("route", ["replicate", "fal"])
def test_lora_url_is_guarded(caller: Caller, providers: Providers, route: str, url: str) -> None:
    fields = request(SDXL, loras=[{"url": url}])
    began = time.monotonic()
    said = over_rest(caller, fields, {f"x-byok-{route}": "caller-key"})
    assert said.failure is not None
    assert (said.failure.code, said.failure.param) == ("invalid_value", "loras[0].url")
    assert not providers.calls()
    assert time.monotonic() - began < 10
