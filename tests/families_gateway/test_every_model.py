"""Every id of the catalog, over REST and gRPC: a picture comes, whole, from the provider that is named, paid once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.common import catalog as c
from tests.families_gateway.asking import MODELS, assert_is_what_it_says, edits, over_both, over_rest, request

if TYPE_CHECKING:
    from tests.families_gateway.asking import Said
    from tests.families_gateway.providers import Providers
    from tests.jobs_gateway.calls import Caller

IDS = sorted(MODELS)
UPSTREAM = [model_id for model_id in IDS if MODELS[model_id].family != "local"]
BOTH_FORMS = [
    "bfl/flux-2-klein-9b",
    "bria/fibo/generate",
    "bytedance/seedream-4.5",
    "google/gemini-2.5-flash-image",
    "ideogram/ideogram-v3",
    "openai/dall-e-3",
    "openai/gpt-image-1",
    "recraft/recraft-v4-svg",
    "stability-ai/sdxl",
    "stability-ai/stable-image-core",
]


def check(said: Said, model_id: str, made: set[str], count: int = 1) -> None:
    """A success, and all that it says of itself."""
    model = MODELS[model_id]
    assert said.failure is None, said.failure
    route = model.routes[0].name
    assert (said.document["model"], said.document["provider"]) == (model_id, route)
    assert said.headers["x-imagegateway-provider"] == route
    assert len(said.pictures) == count
    for picture in said.pictures:
        assert_is_what_it_says(picture, made)
    warned = {warning["code"] for warning in said.document.get("warnings", [])}
    assert ("model_retired" in warned) == (model.retired_at is not None)


def test_the_list_has_exactly_these_models_all_available(caller: Caller) -> None:
    listed = caller.ask("GET", "/v1/models").json()["data"]
    assert [model["id"] for model in listed] == IDS
    assert not [model["id"] for model in listed if not model["available"]]
    assert {model["id"]: model.get("successor") for model in listed if model.get("retired_at")} == {
        model.id: model.successor for model in MODELS.values() if model.retired_at
    }


@pytest.mark.parametrize("model_id", UPSTREAM)
def test_model_answers_over_both_protocols(caller: Caller, providers: Providers, model_id: str) -> None:
    rest, native = over_both(caller, request(model_id))
    check(rest, model_id, providers.made)
    check(native, model_id, providers.made)
    assert providers.billed() == {MODELS[model_id].routes[0].name: 2}


@pytest.mark.parametrize("model_id", [name for name in UPSTREAM if MODELS[name].can(c.IMAGE_TO_IMAGE)])
def test_model_edits(caller: Caller, providers: Providers, model_id: str) -> None:
    """The ids that also make pictures from words alone; the other ones' only use is tested above."""
    if edits(MODELS[model_id]):
        pytest.skip("edits only")
    from tests.families_gateway.asking import INPUT, MASK
    from tests.gateway import pictures, rest

    fields = request(model_id, image_url=pictures.data_url(INPUT))
    if MODELS[model_id].can(c.MASK):
        fields["mask_url"] = pictures.data_url(MASK)
    answer = caller.ask("POST", rest.EDITS, fields, {"prefer": "wait=60"})
    assert answer.status == 200, answer.body
    route = MODELS[model_id].routes[0].name
    assert answer.json()["provider"] == answer.headers["x-imagegateway-provider"] == route
    assert providers.billed() == {route: 1}


@pytest.mark.parametrize("model_id", BOTH_FORMS)
def test_both_forms_carry_the_same_bytes(caller: Caller, providers: Providers, model_id: str) -> None:
    bare = over_rest(caller, request(model_id, response_format="b64_json"))
    linked = over_rest(caller, request(model_id, response_format="url"))
    for said, form in ((bare, "b64_json"), (linked, "url")):
        check(said, model_id, providers.made)
        assert form in said.document["data"][0]
    assert bare.pictures[0].media_type == linked.pictures[0].media_type
    assert providers.billed() == {MODELS[model_id].routes[0].name: 2}
