"""Stored keys of tenants: the key that each provider receives, and precedence among keys."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.emulators.bfl import Bfl
from tests.gateway.jobs.calls import ASYNC, Caller
from tests.gateway.jobs.stacks import kill, new_caller, wait_back
from tests.gateway.providers.asking import KLEIN, assert_served_by, over_both, over_grpc, over_rest, path, request
from tests.gateway.providers.failing import ROUTES
from tests.gateway.providers.providers import every, serving, submissions
from tests.gateway.providers.test_byok import LORAS, SDXL, holding, new_key, shown
from tests.gateway.providers.test_failures import changed
from tests.support.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulators.base import Emulator
    from tests.gateway.providers.providers import Providers

UNAVAILABLE: Final = (503, b"<html>no healthy upstream</html>", {"retry-after": "0"})
BUSY: Final = (429, {"detail": "too many"}, {"retry-after": "600"})
"""Longer than the gateway waits, so that the next route serves at once."""


@pytest.fixture(scope="module")
def keyless() -> Iterator[tuple[Caller, Providers]]:
    """Yield a stack whose operator has only a key of Cloudflare, and its emulators."""
    with serving(every()) as providers:
        values = {name: value for name, value in providers.settings().items() if not name.endswith("_api_key")}
        values["cloudflare_api_key"] = providers["cloudflare"].key
        del values["automatic1111_base_url"]
        with running(**values, inline_wait="120") as stack:
            yield Caller(stack, stack.key), providers
            text = stack.text()
            for route, emulator in providers.by_route.items():
                assert emulator.key not in text, f"the key of {route} is in the log"


@pytest.fixture
def providers(keyless: tuple[Caller, Providers]) -> Providers:
    keyless[1].forget()
    return keyless[1]


@pytest.fixture
def tenant(keyless: tuple[Caller, Providers]) -> Caller:
    """Return a tenant without stored keys."""
    return new_caller(keyless[0].stack, f"tenant-{secrets.token_hex(6)}")


def store(caller: Caller, route: str, key: str) -> None:
    answer = caller.ask("PUT", f"/v1/provider-keys/{route}", {"key": key})
    assert answer.status == 200, answer.body


def forget(caller: Caller, route: str) -> None:
    assert caller.ask("DELETE", f"/v1/provider-keys/{route}").json()["deleted"] is True


def keys_shown(emulator: Emulator, *keys: str) -> list[list[str]]:
    """Return the key of each received request, out of these keys."""
    return [[key for key in keys if key in text] for text in shown(emulator)]


@pytest.mark.parametrize("route", sorted(set(ROUTES) - {"automatic1111", "cloudflare"}))
def test_stored_key_reaches_its_provider_for_its_tenant_alone(
    keyless: tuple[Caller, Providers], providers: Providers, tenant: Caller, route: str
) -> None:
    emulator, fields = providers[route], request(ROUTES[route].model)
    store(tenant, route, emulator.key)
    for said in over_both(tenant, fields):
        assert_served_by(said, route)
        assert emulator.key not in str(said)
    assert set(providers.calls()) == {route}
    assert providers.billed() == {route: 2}
    assert not holding(tenant, emulator.key)
    providers.forget()
    stranger = keyless[0]
    said = over_rest(stranger, fields)
    assert said.failure is not None
    assert said.failure.code == "provider_not_configured"
    forget(tenant, route)
    said = over_grpc(tenant, fields)
    assert said.failure is not None
    assert said.failure.code == "provider_not_configured"
    assert not providers.calls()


def test_key_of_the_call_has_precedence_over_the_stored_and_the_operators_key(
    providers: Providers, tenant: Caller
) -> None:
    cloudflare, fields = providers["cloudflare"], request(KLEIN)
    operators, stored, own = cloudflare.key, new_key("cloudflare"), new_key("cloudflare")
    everyone = (operators, stored, own)
    assert_served_by(over_rest(tenant, fields), "cloudflare")
    store(tenant, "cloudflare", stored)
    with changed(cloudflare, key=stored):
        for said in over_both(tenant, fields):
            assert_served_by(said, "cloudflare")
    with changed(cloudflare, key=own):
        assert_served_by(over_rest(tenant, fields, {"x-byok-cloudflare": own}), "cloudflare")
    forget(tenant, "cloudflare")
    assert_served_by(over_rest(tenant, fields), "cloudflare")
    assert keys_shown(cloudflare, *everyone) == [[operators], [stored], [stored], [own], [operators]]


def test_stored_key_does_not_change_the_order_of_routes_nor_names_one(providers: Providers, tenant: Caller) -> None:
    """The operator's first route serves. The tenant's own key serves after a refusal there."""
    store(tenant, "bfl", providers["bfl"].key)
    assert_served_by(over_rest(tenant, request(KLEIN)), "cloudflare")
    providers["cloudflare"].failures[:] = [UNAVAILABLE]
    assert_served_by(over_rest(tenant, request(KLEIN)), "bfl")
    assert len(submissions(providers["bfl"])) == 1
    assert providers.billed() == {"cloudflare": 1, "bfl": 1}
    assert over_rest(tenant, request(KLEIN), {"x-byok-cloudflare": providers["cloudflare"].key}).failure is None


def test_each_route_of_a_fallback_gets_the_key_stored_for_it(providers: Providers, tenant: Caller) -> None:
    bria, fal = providers["bria"], providers["fal"]
    store(tenant, "bria", bria.key)
    store(tenant, "fal", fal.key)
    bria.failures[:] = [BUSY]
    assert_served_by(over_rest(tenant, request("bria/genfill")), "fal")
    assert keys_shown(bria, bria.key, fal.key) == [[bria.key]]
    assert keys_shown(fal, bria.key, fal.key)[0] == [fal.key]
    assert not [keys for keys in keys_shown(fal, bria.key) if keys]
    assert providers.billed() == {"fal": 1}


def test_refused_stored_key_is_reported_as_such(providers: Providers, tenant: Caller) -> None:
    wrong = new_key("cloudflare")
    store(tenant, "cloudflare", wrong)
    for _ in range(2):  # over REST and gRPC: more refusals than set a route aside
        first, second = over_both(tenant, request(KLEIN))
        assert first.failure is not None
        assert first.failure == second.failure
        assert (first.failure.code, first.failure.param) == ("provider_credentials", None)
        assert "stored key" in first.failure.message
        assert "PUT /v1/provider-keys/cloudflare" in first.failure.message
        assert wrong not in first.failure.message
    assert not providers.billed()
    forget(tenant, "cloudflare")
    assert_served_by(over_rest(tenant, request(KLEIN)), "cloudflare")  # the circuit breaker stays closed
    assert not holding(tenant, wrong)


# ---- LoRAs


@pytest.mark.parametrize("route", ["replicate", "fal"])
def test_lora_runs_on_the_stored_account(providers: Providers, tenant: Caller, route: str) -> None:
    store(tenant, route, providers[route].key)
    for said in over_both(tenant, request(SDXL, loras=[dict(LORAS[route])])):
        assert_served_by(said, route)
    assert providers.billed() == {route: 2}


def test_lora_without_a_key_of_the_models_routes_is_forbidden(providers: Providers, tenant: Caller) -> None:
    store(tenant, "openai", providers["openai"].key)
    said = over_rest(tenant, request(SDXL, loras=[dict(LORAS["fal"])]))
    assert said.failure is not None
    assert (said.failure.code, said.failure.param) == ("byok_required", "loras")
    assert "PUT /v1/provider-keys/<route>" in said.failure.message
    assert not providers.calls()


# ---- jobs


def submit(caller: Caller, fields: dict[str, Any], headers: dict[str, str] | None = None) -> str:
    answer = caller.ask("POST", path(fields), fields, {**ASYNC, **(headers or {})})
    assert answer.status == 202, answer.body
    job_id: str = answer.json()["id"]
    return job_id


@pytest.mark.parametrize("then", ["deleted", "replaced", "killed"])
def test_task_is_polled_with_the_key_that_began_it(providers: Providers, tenant: Caller, then: str) -> None:
    bfl, later = providers["bfl"], new_key("bfl")
    assert isinstance(bfl, Bfl)
    store(tenant, "bfl", bfl.key)
    with changed(bfl, script=(*["Pending"] * 4, "Ready")):
        job_id = submit(tenant, request("bfl/flux-2-pro"))
        eventually(lambda: bool(bfl.polled), 20, "it is polled")
        assert not holding(tenant, bfl.key)
        if then == "replaced":
            store(tenant, "bfl", later)
        else:
            forget(tenant, "bfl")
        if then == "killed":
            wait_back(tenant.stack, "router-0", kill(tenant.stack, "router-0"))
        job = tenant.end(job_id)
    assert (job["status"], job["provider"]) == ("completed", "bfl"), job
    assert bfl.key not in str(job)
    asked = [
        keys
        for sent, keys in zip(bfl.sent, keys_shown(bfl, bfl.key, later), strict=True)
        if "delivery" not in sent.path
    ]
    assert len(asked) >= 6
    assert asked == [[bfl.key]] * len(asked)
    assert len(submissions(bfl)) == bfl.billed == 1
    assert tenant.fetch(job["result_url"])
    assert not holding(tenant, bfl.key)


def test_repeat_with_an_idempotency_key_joins_its_job_whatever_was_stored_meanwhile(
    providers: Providers, tenant: Caller
) -> None:
    """A stored key may change the route, but not the request of an idempotency key."""
    store(tenant, "fal", providers["fal"].key)
    fields, headers = request(SDXL), {"idempotency-key": secrets.token_hex(8)}
    first = submit(tenant, fields, headers)
    store(tenant, "replicate", providers["replicate"].key)
    answer = tenant.ask("POST", path(fields), fields, {"prefer": "wait=60", **headers})
    assert answer.status == 200, answer.body
    assert (answer.json()["id"], answer.json()["provider"]) == (first, "fal")
    assert providers.billed() == {"fal": 1}


def test_default_model_is_the_configured_one_once_its_key_is_stored(providers: Providers, tenant: Caller) -> None:
    fields = {"prompt": "take the tree away", "image_url": request("bria/fibo-edit/edit")["image_url"]}
    store(tenant, "bria", providers["bria"].key)
    answer = tenant.ask("POST", "/v1/images/edits", fields, {"prefer": "wait=60"})
    assert answer.status == 200, answer.body
    assert (answer.json()["model"], answer.json()["provider"]) == ("bria/fibo-edit/edit", "bria")
    forget(tenant, "bria")
    answer = tenant.ask("POST", "/v1/images/edits", fields, {"prefer": "wait=60"})
    assert answer.json()["model"] == "local/sketch"
