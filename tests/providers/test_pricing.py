"""Prices of the catalog: estimates of every model, and costs against examples of the providers' pages."""

from __future__ import annotations

from typing import Any

import pytest
from imagegateway.platform import money
from imagegateway.platform.setting_source import Source
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import Capability
from imagegateway.providers.pricing import stated_cost
from imagegateway.router.catalog import Catalog
from imagegateway.v1.job_pb2 import Cost, TokenDetails, Usage

CATALOG = Catalog.load(Source({}))
ROUTES = [(model, route) for model in CATALOG.models.values() for route in model.routes]
UNPRICED = {
    *("bfl/flux-2-dev cloudflare", "bfl/flux-3-video bfl"),
    *("bria/fibo/generate bria", "bria/fibo/generate-lite bria", "bria/remove-background fal"),
    *(f"bria/{name} {route}" for name in ("eraser", "genfill", "replace-background") for route in ("bria", "fal")),
    *(f"bria/{name} bria" for name in ("blur-background", "erase-foreground", "crop-foreground", "enhance")),
    "bria/increase-resolution bria",
    *(
        f"bria/fibo-edit/{name} {route}"
        for name in (
            *("add_object_by_text", "replace_object_by_text", "blend", "erase_by_text", "rewrite_text", "reseason"),
            *("restore", "sketch_to_colored_image"),
        )
        for route in ("bria", "fal")
    ),
    *(f"bytedance/seedance-{version} bytedance" for version in ("2.5", "2.0", "1.5-pro", "1-pro")),
    "google/imagen-3 google",
    "ideogram/ideogram-v4.6 ideogram",
    *("openai/dall-e-3 openai", "openai/dall-e-2 openai"),
    *(f"recraft/recraft-v4-styles{variant} recraft" for variant in ("", "-svg", "-pro", "-pro-svg")),
    *("stability-ai/sdxl replicate", "stability-ai/sdxl fal"),
    *("stability-ai/outpaint stability", "stability-ai/search-and-recolor stability"),
}
"""Routes whose provider states no price that was read."""


def task(model: str, **fields: Any) -> pb.ImageTask:
    """Return a task on the model's first route."""
    route = CATALOG.models[model].routes[0].name
    return pb.ImageTask(**{"model": model, "route": route, "n": 1, **fields})


def ref(width: int, height: int) -> pb.MediaRef:
    return pb.MediaRef(width=width, height=height)


def made(*sizes: tuple[int, int], **fields: Any) -> pb.Done:
    return pb.Done(artifacts=[pb.Artifact(media=ref(*size)) for size in sizes], **fields)


def estimate(request: pb.ImageTask) -> float | None:
    cost = CATALOG.estimate(request)
    return cost.amount if cost else None


def final(request: pb.ImageTask, done: pb.Done) -> float | None:
    cost = CATALOG.price(request, done)
    return cost.amount if cost else None


@pytest.mark.parametrize(("model", "route"), ROUTES, ids=lambda value: getattr(value, "id", "") or value.name)
def test_every_route_has_a_price_or_is_listed_as_unpriced(model: Any, route: Any) -> None:
    request = pb.ImageTask(model=model.id, route=route.name, n=1)
    if not {Capability.TEXT_TO_IMAGE, Capability.TEXT_TO_VIDEO} & model.capabilities:
        request.inputs.append(ref(1024, 1024))
    amount = estimate(request)
    assert (amount is None) == (f"{model.id} {route.name}" in UNPRICED)
    assert amount is None or 0 <= amount < 10
    if route.price and amount:
        assert route.price.page.startswith("https://")
    request.n = 3
    tripled = estimate(request)
    assert tripled == (None if amount is None else pytest.approx(3 * amount))


@pytest.mark.parametrize(
    ("request_", "amount"),
    [
        (task("local/sketch", n=10), 0),
        (task("bfl/flux-2-pro", width=1024, height=1024), 0.03),
        (task("bfl/flux-2-pro", width=2048, height=1024), 0.045),
        (task("bfl/flux-2-pro", width=1024, height=1024, inputs=[ref(1024, 1024)]), 0.045),
        (task("bfl/flux-2-max", width=2048, height=2048), 0.16),
        (task("bfl/flux-2-klein-4b", width=512, height=512, inputs=[ref(512, 512)]), 0.000346),
        (task("google/gemini-3.1-flash-image", width=512, height=512), 0.045),
        (task("google/gemini-3.1-flash-image", width=1024, height=1024), 0.067),
        (task("google/gemini-3.1-flash-image", width=2048, height=2048), 0.101),
        (task("google/gemini-3.1-flash-image", width=4096, height=4096), 0.151),
        (task("google/veo-3.1", width=3840, height=2160, seconds=8), 4.8),
        (task("google/veo-3.1-fast", seconds=4), 0.4),
        (task("google/gemini-omni-1.2-flash", seconds=10), 1),
        (task("bytedance/seedream-5-pro", width=1024, height=1024, inputs=[ref(9, 9)] * 3), 0.051),
        (task("ideogram/ideogram-v3", quality="low"), 0.03),
        (task("ideogram/ideogram-v3", background="transparent", quality="high"), 0.1),
        (task("ideogram/ideogram-v4.5"), 0.1),
        (task("ideogram/ideogram-v4.5", inputs=[ref(9, 9)]), 0.06),
        (task("ideogram/ideogram-v3/edit", inputs=[ref(9, 9)], mask=ref(9, 9), quality="hd"), 0.09),
        (task("openai/gpt-image-2", quality="low", width=1024, height=1024), 0.006),
        (task("openai/gpt-image-2", quality="medium", width=1536, height=1024), 0.041),
        (task("openai/gpt-image-2", width=2048, height=2048, quality="high"), 0.844),
        (task("openai/gpt-image-1.5", quality="hd", width=1024, height=1536), 0.2),
        (task("openai/gpt-image-1-mini", quality="low", prompt="a" * 3000), 0.007),
        (task("openai/gpt-image-2", quality="low", partial_images=2), 0.012),
        (task("openai/gpt-image-1", quality="low", inputs=[ref(9, 9)], input_fidelity="high"), 0.07663),
        (task("openai/gpt-image-2", prompt="word " * 6000), 0.261),
        (task("openai/gpt-image-2", inputs=[ref(1024, 1024)] * 4), 0.421016),
        (task("stability-ai/sd3.5-large"), 0.065),
        (task("recraft/recraft-v4.1-pro-svg"), 0.3),
    ],
    ids=lambda value: value.model if isinstance(value, pb.ImageTask) else None,
)
def test_estimate_of_a_request(request_: pb.ImageTask, amount: float) -> None:
    assert estimate(request_) == amount


USAGE = Usage(
    input_tokens=50,
    output_tokens=4160,
    input_tokens_details=TokenDetails(text_tokens=10, image_tokens=40),
    output_tokens_details=TokenDetails(text_tokens=0, image_tokens=4160),
)


@pytest.mark.parametrize(
    ("request_", "done", "amount"),
    [
        (task("bytedance/seedream-4.5", n=3), made((2048, 2048), (2048, 2048)), 0.08),
        (task("ideogram/ideogram-v3", n=3), made((1024, 1024), billed_missing=1), 0.12),
        (task("google/gemini-3.1-flash-image"), made((4096, 4096)), 0.151),
        (task("google/gemini-3.1-flash-image", width=1024, height=1024), made((1100, 1999)), 0.067),
        (task("openai/gpt-image-2", n=2), made((1024, 1024), usage=USAGE), 0.12517),
        (task("openai/gpt-image-1.5"), made((1024, 1024), usage=USAGE), 0.13349),
        (task("openai/gpt-image-2", n=2, quality="low"), made((1024, 1024)), 0.006),
        (task("recraft/recraft-v3-svg"), made((0, 0)), 0.08),
        (task("google/veo-3.1-fast", n=2, width=1080, height=1920, seconds=6), made((0, 0)), 0.72),
    ],
    ids=lambda value: value.model if isinstance(value, pb.ImageTask) else None,
)
def test_final_cost_is_by_what_came(request_: pb.ImageTask, done: pb.Done, amount: float) -> None:
    assert final(request_, done) == amount


def test_cost_that_the_provider_reports_wins() -> None:
    done = made((1024, 1024), cost=Cost(amount=0.0451, currency="USD"))
    assert final(task("bfl/flux-2-pro", n=2), done) == 0.0451


@pytest.mark.parametrize(("amount", "shown"), [("0.04", 0.04), ("0.000000001", 1e-9), ("123456.789", 123456.789)])
def test_amounts_survive_the_double(amount: str, shown: float) -> None:
    cost = money.to_cost(money.usd(amount), estimated=True)
    assert cost.amount == shown
    assert money.nanodollars(cost) == money.usd(amount)


@pytest.mark.parametrize(
    ("units", "amount"),
    [
        (4.5, 0.045),
        ("40", 0.4),
        (0, 0),
        (-1, None),
        ("nan", None),
        ("inf", None),
        (1e300, None),
        (None, None),
        ([], None),
    ],
)
def test_stated_cost_is_a_sane_number_or_none(units: Any, amount: float | None) -> None:
    cost = stated_cost(units, 10_000_000)
    assert (cost.amount if cost else None) == amount
