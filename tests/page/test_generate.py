"""Generate view: the form's fields by model, and what reaches the provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.gateway.providers.providers import submissions
from tests.page.conftest import screenshot
from tests.page.workbench import card, expect_status, fields, more_options, open_view, submit

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers
    from tests.page.conftest import Problems


def test_first_visit_makes_an_image_with_the_default_model(page: Page, providers: Providers) -> None:
    open_view(page)
    screenshot(page, "generate-empty")
    run = submit(page, "a lighthouse at dusk")
    expect_status(run, "Completed")
    image = run.get_by_role("img", name="a lighthouse at dusk")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") == 1024
    assert providers.billed() == {"cloudflare": 1}
    screenshot(page, "generate-done")


def test_every_option_of_a_model_reaches_its_provider(page: Page, providers: Providers) -> None:
    open_view(page, model="openai/gpt-image-2")
    more_options(page)
    page.get_by_label("Size").select_option("1536x1024")
    page.get_by_label("Images", exact=True).fill("2")
    page.get_by_label("Quality", exact=True).select_option("low")
    page.get_by_label("Format", exact=True).select_option("webp")
    page.get_by_label("Compression quality").fill("40")
    run = submit(page, "a fox in snow")
    expect_status(run, "Completed")
    expect(run.locator("figure img")).to_have_count(2)
    (sent,) = submissions(providers["openai"])
    assert (
        sent.json.items()
        >= {
            "model": "gpt-image-2",
            "prompt": "a fox in snow",
            "size": "1536x1024",
            "n": 2,
            "quality": "low",
            "output_format": "webp",
            "output_compression": 40,
        }.items()
    )
    assert providers.billed() == {"openai": 2}


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        (
            "local/sketch",
            {"prompt", "size", "n", "quality", "style", "negative_prompt", "seed", "background", "output_format"}
            | {"partial_images"},
        ),
        ("google/veo-3.1-fast", {"prompt", "size", "n", "seconds", "negative_prompt", "byok"}),
        (
            "stability-ai/sdxl",
            {"prompt", "size", "n", "quality", "negative_prompt", "seed", "output_format", "loras", "byok"},
        ),
    ],
)
def test_form_shows_the_fields_of_its_model(page: Page, model: str, shown: set[str]) -> None:
    open_view(page, model=model)
    more_options(page)
    assert set(fields(page)) == shown


def test_field_without_an_effect_is_hidden(page: Page) -> None:
    open_view(page, model="local/sketch")
    more_options(page)
    compression = page.get_by_label("Compression quality")
    expect(compression).to_be_hidden()
    page.get_by_label("Format", exact=True).select_option("jpeg")
    expect(compression).to_be_visible()


def test_values_stay_with_another_model_that_takes_them(page: Page) -> None:
    open_view(page, model="local/sketch")
    more_options(page)
    page.get_by_label("Seed").fill("7")
    for model in ("openai/gpt-image-2", "bfl/flux-2-pro"):
        page.locator(".model-button").click()
        page.get_by_role("combobox", name="Search models").fill(model)
        page.get_by_role("option").first.click()
    expect(page.get_by_label("Seed")).to_have_value("7")


def test_every_offered_value_of_every_model_is_accepted_strictly(page: Page, caller: Caller) -> None:
    """The API refuses a field or a value that the model doesn't take, under strict handling."""
    open_view(page)
    requests: list[dict[str, Any]] = page.evaluate(
        """async () => {
          const { fieldsOf, effective } = await import("/assets/fields.js");
          const { loadModels, serves } = await import("/assets/models.js");
          const requests = [];
          for (const model of await loadModels()) {
            if (!serves(model, "generate") || !model.available) continue;
            const fields = fieldsOf(model, "generate").filter(({ kind }) => kind !== "loras");
            const values = { size: fields[0].options?.at(-1)?.value, negative_prompt: "rain" };
            for (const { name, kind, options, max } of fields) {
              if (kind === "choice") values[name] = options.at(-1).value;
              if (kind === "number") values[name] = max;
            }
            if (values.output_format === "svg" && values.n) values.n = 1;
            if (values.background) values.background = "opaque";
            const path = model.modality === "video" ? "/v1/videos/generations" : "/v1/images/generations";
            requests.push({ path, body: { model: model.id, prompt: "a fox", ...effective(fields, values) } });
          }
          return requests;
        }"""
    )
    assert len(requests) > 40
    refused = {}
    for request in requests:
        headers = {"prefer": "dry-run, handling=strict, respond-async"}
        answer = caller.ask("POST", request["path"], request["body"], headers)
        if answer.status != 200:
            refused[json.dumps(request["body"])] = answer.json()["error"]["message"]
    assert refused == {}


def test_refused_value_is_explained_at_its_field(page: Page, problems: Problems, providers: Providers) -> None:
    problems.expect("status of 400")
    open_view(page, model="bfl/flux-2-pro")
    more_options(page)
    page.get_by_label("Seed").fill("4294967296")
    submit(page, "a fox")
    seed = page.locator("[data-field=seed]")
    expect(seed.get_by_text("seed must be from 0 to 4294967295.")).to_be_visible()
    expect(page.get_by_label("Seed")).to_be_focused()
    expect(page.get_by_label("Seed")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("article.run")).to_have_count(0)
    screenshot(page, "generate-field-error")
    page.get_by_label("Seed").fill("4")
    expect(seed.get_by_text("must be")).to_be_hidden()
    assert providers.calls() == {}


def test_prompt_is_asked_for_before_any_call(page: Page, providers: Providers) -> None:
    open_view(page)
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_text("Write a prompt.")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    assert providers.calls() == {}


def test_lora_runs_on_the_callers_own_account(page: Page, providers: Providers) -> None:
    key = providers["replicate"].key
    open_view(page, model="stability-ai/sdxl")
    more_options(page)
    page.get_by_label("Provider of the key").select_option("replicate")
    page.get_by_label("Your own provider key").fill(key)
    page.get_by_role("button", name="Add a LoRA").click()
    page.get_by_label("Link or id of the LoRA").fill("https://example.com/style.safetensors")
    page.get_by_label("Strength of the LoRA").fill("0.5")
    screenshot(page, "generate-lora")
    expect_status(submit(page, "a fox"), "Completed")
    (sent,) = submissions(providers["replicate"])
    assert sent.headers["authorization"] == f"Bearer {key}"
    assert "https://example.com/style.safetensors" in sent.body.decode()
    assert providers.billed() == {"replicate": 1}


def test_video_has_a_length_and_plays(page: Page, providers: Providers) -> None:
    open_view(page, model="google/veo-3.1-fast")
    page.get_by_label("Seconds").fill("8")
    page.get_by_label("Size").select_option("1920x1080")
    run = submit(page, "waves")
    expect_status(run, "Completed")
    expect(run.locator("video")).to_be_visible()
    (sent,) = [sent for sent in submissions(providers["google"]) if "predictLongRunning" in sent.path]
    assert sent.json["parameters"].items() >= {"durationSeconds": 8, "resolution": "1080p"}.items()


def test_width_and_height_are_free_where_the_model_allows(page: Page, providers: Providers) -> None:
    open_view(page, model="bfl/flux-2-pro")
    page.get_by_label("Size").select_option("custom")
    page.get_by_label("Width in pixels").fill("1280")
    page.get_by_label("Height in pixels").fill("720")
    expect_status(submit(page, "a fox"), "Completed")
    (sent,) = submissions(providers["bfl"])
    assert (sent.json["width"], sent.json["height"]) == (1280, 720)


def test_form_survives_a_reload(page: Page) -> None:
    open_view(page, model="bfl/flux-2-pro")
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_label("Size").select_option("1536x1024")
    page.reload()
    expect(page.locator(".model-button .model-name")).to_have_text("bfl/flux-2-pro")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    expect(page.get_by_label("Size")).to_have_value("1536x1024")


def test_form_and_runs_stay_while_another_view_is_shown(page: Page, providers: Providers) -> None:
    open_view(page, model="local/sketch")
    run = submit(page, "a small red house")
    expect_status(run, "Completed")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    page.get_by_role("link", name="Generate").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a small red house")
    expect_status(card(page, "a small red house"), "Completed")
    assert providers.calls() == {}
