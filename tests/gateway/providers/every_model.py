"""Calls of every model of the catalog over REST and gRPC, and their replies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.providers.catalog import Capability

from tests.gateway.providers.asking import MODELS, edit, edits, over_grpc, over_rest, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.asking import Reply
    from tests.gateway.providers.providers import Providers

IDS: Final = sorted(MODELS)
UPSTREAM: Final = [model_id for model_id in IDS if MODELS[model_id].family != "local"]
EDITORS: Final = [
    name for name in UPSTREAM if MODELS[name].supports(Capability.IMAGE_TO_IMAGE) and not edits(MODELS[name])
]
"""Models that make images both from prompts and from images."""
BOTH_FORMS: Final = [
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
AT_ONCE: Final = 12
"""Concurrent calls: most of their time passes between polls."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The replies of all calls, and the providers' counts."""

    of: Mapping[tuple[str, str], Reply]
    """Replies by kind of call and model id."""
    billed: Mapping[str, int]


def call_every_model(caller: Caller, providers: Providers) -> Answers:
    """Call every model that a provider serves: over REST and gRPC, as an edit, and in both response formats."""
    providers.forget()
    calls = {
        **{("rest", name): (over_rest, request(name)) for name in UPSTREAM},
        **{("grpc", name): (over_grpc, request(name)) for name in UPSTREAM},
        **{("edit", name): (over_rest, edit(name)) for name in EDITORS},
        **{("url", name): (over_rest, request(name, response_format="url")) for name in BOTH_FORMS},
        **{("b64_json", name): (over_rest, request(name, response_format="b64_json")) for name in BOTH_FORMS},
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {name: pool.submit(ask, caller, fields) for name, (ask, fields) in calls.items()}
    return Answers({name: future.result() for name, future in running.items()}, providers.billed())
