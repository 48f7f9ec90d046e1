"""`provider_options` go beside the gateway's fields: what would replace one is refused before a job is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.gateway.providers.asking import over_both, over_rest, request

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_REFUSED: Final[tuple[tuple[str, dict[str, Any], str], ...]] = (
    ("openai/gpt-image-2", {"n": 10}, "n"),
    ("openai/gpt-image-2", {"model": "gpt-image-1"}, "model"),
    ("bfl/flux-2-pro", {"webhook_url": "https://example.com"}, "webhook_url"),
    ("bfl/flux-2-klein-9b", {"input_image_2": "aGk="}, "input_image_2"),
    ("bytedance/seedream-5", {"sequential_image_generation": "auto"}, "sequential_image_generation"),
    ("google/imagen-3", {"parameters": {"sample_count": 4}}, "parameters.sample_count"),
    ("google/imagen-3", {"parameters[sampleCount]": 4}, "parameters[sampleCount]"),
    ("google/imagen-3", {"parameters": "all of them"}, "parameters"),
    ("ideogram/ideogram-v3", {"num_images": 8}, "num_images"),
    ("recraft/recraft-v3", {"random_seed": 5}, "random_seed"),
    ("stability-ai/stable-image-core", {"seed": 5}, "seed"),
    ("stability-ai/sdxl", {"num_outputs": 4}, "num_outputs"),
    (
        "stability-ai/sdxl",
        {"override_settings": {"sd_model_checkpoint": "theirs"}},
        "override_settings.sd_model_checkpoint",
    ),
    ("bria/fibo/generate", {"webhook_url": "https://example.com"}, "webhook_url"),
)


@pytest.mark.parametrize(("model", "options", "name"), _REFUSED)
@pytest.mark.parametrize("handling", ["lenient", "strict"])
def test_reserved_option_is_refused_and_makes_no_job(
    caller: Caller, providers: Providers, *, model: str, options: dict[str, Any], name: str, handling: str
) -> None:
    fields = request(model, provider_options=options)
    for said in over_both(caller, fields, {"prefer": f"wait=60, handling={handling}"}):
        assert said.failure is not None, said.document
        assert (said.failure.code, said.failure.param) == ("unsupported_parameter", f"provider_options.{name}")
        assert "x-job-id" not in said.headers
    assert providers.calls() == {}


def test_other_options_are_sent_beside_the_gateways_fields(caller: Caller, providers: Providers) -> None:
    said = over_rest(caller, request("bfl/flux-2-flex", provider_options={"steps": 20, "guidance": 4}))
    assert said.failure is None, said.failure
    body = providers["bfl"].sent[0].json
    assert (body["steps"], body["guidance"], body["prompt"]) == (20, 4, request("bfl/flux-2-flex")["prompt"])
