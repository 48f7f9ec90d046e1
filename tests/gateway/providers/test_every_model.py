"""Every model of the catalog over REST and gRPC: a complete image from the named provider, billed once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.gateway import rest
from tests.gateway.providers.asking import MODELS, VIDEOS, WAIT, assert_described_correctly, edit, request
from tests.gateway.providers.every_model import BOTH_FORMS, EDITORS, IDS, UPSTREAM

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.asking import Reply
    from tests.gateway.providers.every_model import Answers
    from tests.gateway.providers.providers import Providers


def check(said: Reply, model_id: str, made: set[str]) -> None:
    """Assert that a reply is a success with correct metadata."""
    model = MODELS[model_id]
    assert said.failure is None, said.failure
    route = model.routes[0].name
    assert (said.document["model"], said.document["provider"]) == (model_id, route)
    assert said.headers["x-imagegateway-provider"] == route
    (image,) = said.images
    assert_described_correctly(image, made)
    warned = [warning for warning in said.document.get("warnings", []) if warning["code"] == "model_retired"]
    if model.retired_at:
        assert model.successor in warned[0]["message"]
    else:
        assert not warned


def test_list_has_exactly_these_models_and_all_that_are_not_retired_are_available(caller: Caller) -> None:
    listed = caller.ask("GET", "/v1/models").json()["data"]
    assert [model["id"] for model in listed] == IDS
    today = datetime.now(UTC).date()
    retired = {model.id for model in MODELS.values() if model.retired_at and model.retired_at <= today}
    assert {model["id"] for model in listed if not model["available"]} == retired
    assert {model["id"]: model["successor"] for model in listed if model.get("retired_at")} == {
        model.id: model.successor for model in MODELS.values() if model.retired_at
    }


def test_requests_without_a_model_go_to_the_defaults(caller: Caller, providers: Providers) -> None:
    asked = (
        (rest.GENERATIONS, "bfl/flux-2-klein-9b", "cloudflare"),
        (rest.EDITS, "bria/fibo-edit/edit", "bria"),
        (VIDEOS, "google/gemini-omni-1.2-flash", "google"),
    )
    for path, model_id, route in asked:
        fields = edit(model_id) if path == rest.EDITS else request(model_id)
        del fields["model"]
        answer = caller.ask("POST", path, fields, WAIT)
        assert answer.status == 200, answer.body
        assert (answer.json()["model"], answer.json()["provider"]) == (model_id, route)
    assert providers.billed() == {"cloudflare": 1, "bria": 1, "google": 1}


@pytest.mark.parametrize("model_id", UPSTREAM)
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_model_answers(answers: Answers, all_providers: Providers, protocol: str, model_id: str) -> None:
    check(answers.of[protocol, model_id], model_id, all_providers.made)


@pytest.mark.parametrize("model_id", EDITORS)
def test_model_edits(answers: Answers, all_providers: Providers, model_id: str) -> None:
    check(answers.of["edit", model_id], model_id, all_providers.made)


@pytest.mark.parametrize("model_id", BOTH_FORMS)
def test_both_forms_carry_what_the_provider_made(answers: Answers, all_providers: Providers, model_id: str) -> None:
    for form in ("url", "b64_json"):
        said = answers.of[form, model_id]
        check(said, model_id, all_providers.made)
        assert form in said.document["data"][0]


def test_what_was_billed_is_what_was_delivered(answers: Answers) -> None:
    delivered = Counter(
        MODELS[model_id].routes[0].name for (_, model_id), said in answers.of.items() for _ in said.images
    )
    assert answers.billed == delivered
