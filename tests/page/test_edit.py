"""Edit view: input images, masks, and what reaches the provider."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import FilePayload, expect

from tests.gateway.inputs import image_bytes, pixels, turned
from tests.gateway.providers.providers import submissions
from tests.page.conftest import screenshot
from tests.page.workbench import expect_status, fields, more_options, open_view, submit

if TYPE_CHECKING:
    from PIL import Image
    from playwright.sync_api import Locator, Page

    from tests.gateway.providers.providers import Providers
    from tests.page.conftest import Problems

MODEL = "openai/gpt-image-2"
WIDTH, HEIGHT = 320, 200
INPUT = image_bytes(WIDTH, HEIGHT)


def pick(page: Page, *files: FilePayload) -> None:
    page.locator("#input-files").set_input_files(files)


def add(page: Page, *files: bytes, media_type: str = "image/png") -> None:
    """Pick files for the form, and wait until the form shows them."""
    shown = page.locator(".input-list li")
    before = shown.count()
    pick(
        page,
        *(FilePayload(name=f"{index}.png", mimeType=media_type, buffer=data) for index, data in enumerate(files)),
    )
    expect(shown).to_have_count(before + len(files))


def open_mask(page: Page) -> Locator:
    page.get_by_role("button", name="Paint a mask").click()
    dialog = page.get_by_role("dialog", name="Mask")
    expect(dialog).to_be_visible()
    return dialog


def drag(page: Page, dialog: Locator, *points: tuple[float, float]) -> None:
    """Draw a stroke through points in shares of the image's width and height."""
    box = dialog.locator("canvas").bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def sent_mask(providers: Providers) -> Image.Image:
    """Return the mask as OpenAI received it: transparent where the image changes."""
    (sent,) = submissions(providers["openai"])
    return pixels(sent.part("mask").data)


def is_painted(mask: Image.Image, x: float, y: float) -> bool:
    alpha = mask.convert("RGBA").getpixel((int(x * (mask.width - 1)), int(y * (mask.height - 1))))
    assert isinstance(alpha, tuple)
    assert alpha[3] in {0, 255}
    return alpha[3] == 0


def test_images_reach_the_provider_byte_for_byte_beside_their_result(page: Page, providers: Providers) -> None:
    other = image_bytes(96, 64, "JPEG")
    open_view(page, "edit", MODEL)
    screenshot(page, "edit-empty")
    add(page, INPUT, other)
    run = submit(page, "make it night")
    expect_status(run, "Completed")
    (sent,) = submissions(providers["openai"])
    assert sent.path == "/v1/images/edits"
    assert [part.data for part in sent.parts if part.name == "image[]"] == [INPUT, other]
    assert sent.part("prompt").text == "make it night"
    expect(run.get_by_role("img", name="Input 1")).to_be_visible()
    expect(run.get_by_role("img", name="Input 2")).to_be_visible()
    expect(run.get_by_role("img", name="make it night")).to_be_visible()
    screenshot(page, "edit-done")


def test_painted_mask_reaches_the_provider(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    add(page, INPUT)
    dialog = open_mask(page)
    drag(page, dialog, (0.2, 0.5), (0.5, 0.5))
    screenshot(page, "edit-mask")
    dialog.get_by_role("button", name="Use this mask").click()
    expect(page.get_by_text("The painted area changes.")).to_be_visible()
    expect_status(submit(page, "a red door"), "Completed")
    mask = sent_mask(providers)
    assert mask.size == (WIDTH, HEIGHT)
    assert is_painted(mask, 0.2, 0.5)
    assert is_painted(mask, 0.35, 0.5)
    assert not is_painted(mask, 0.8, 0.5)
    assert not is_painted(mask, 0.35, 0.05)


def test_mask_is_erased_undone_and_redone(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    add(page, INPUT)
    dialog = open_mask(page)
    drag(page, dialog, (0.1, 0.3), (0.9, 0.3))
    drag(page, dialog, (0.1, 0.8), (0.9, 0.8))
    page.keyboard.press("Control+z")
    dialog.get_by_role("button", name="Erase").click()
    drag(page, dialog, (0.6, 0.3), (0.9, 0.3))
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    dialog.get_by_role("button", name="Use this mask").click()
    expect_status(submit(page, "a red door"), "Completed")
    mask = sent_mask(providers)
    assert is_painted(mask, 0.2, 0.3)
    assert not is_painted(mask, 0.8, 0.3), "erased"
    assert not is_painted(mask, 0.2, 0.8), "undone"


def test_mask_is_painted_by_keyboard(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    add(page, INPUT)
    dialog = open_mask(page)
    expect(dialog.locator("canvas")).to_be_focused()
    page.keyboard.down(" ")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.up(" ")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    dialog.get_by_role("button", name="Use this mask").press("Enter")
    expect_status(submit(page, "a red door"), "Completed")
    mask = sent_mask(providers)
    assert is_painted(mask, 0.5, 0.5)
    assert not is_painted(mask, 0.5, 0.95)
    assert not is_painted(mask, 0.2, 0.5)


def test_brush_size_and_zoom_change_the_stroke_and_the_view(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    add(page, INPUT)
    dialog = open_mask(page)
    expect(dialog.locator("output")).to_have_text("200 %")
    dialog.get_by_role("button", name="Zoom in").click()
    expect(dialog.locator("output")).to_have_text("250 %")
    dialog.get_by_role("slider", name="Brush").fill("120")
    drag(page, dialog, (0.5, 0.5), (0.51, 0.5))
    dialog.get_by_role("button", name="Use this mask").click()
    expect_status(submit(page, "a red door"), "Completed")
    mask = sent_mask(providers)
    assert is_painted(mask, 0.5, 0.25)
    assert is_painted(mask, 0.66, 0.5)
    assert not is_painted(mask, 0.8, 0.5)


def test_cancelled_mask_and_removed_mask_are_not_sent(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    add(page, INPUT)
    dialog = open_mask(page)
    drag(page, dialog, (0.2, 0.5), (0.5, 0.5))
    page.keyboard.press("Escape")
    expect(page.get_by_text("Without a mask the whole image may change.")).to_be_visible()
    drag(page, open_mask(page), (0.2, 0.5), (0.5, 0.5))
    page.get_by_role("button", name="Use this mask").click()
    page.get_by_role("button", name="Remove mask").click()
    expect_status(submit(page, "a red door"), "Completed")
    (sent,) = submissions(providers["openai"])
    assert [part.name for part in sent.parts if part.filename] == ["image"]


def test_mask_of_a_rotated_photo_fits_what_is_shown(page: Page) -> None:
    """The gateway refuses a mask whose size differs from the image's size as shown."""
    open_view(page, "edit", "local/sketch")
    add(page, turned(WIDTH, HEIGHT), media_type="image/jpeg")
    expect(page.locator(".input-list li")).to_contain_text(str(WIDTH))
    drag(page, open_mask(page), (0.2, 0.5), (0.5, 0.5))
    page.get_by_role("button", name="Use this mask").click()
    expect_status(submit(page, "a red door"), "Completed")


def transfer(page: Page, how: str) -> None:
    """Paste or drop an image beside a text file."""
    page.evaluate(
        """([how, encoded]) => {
          const data = new DataTransfer();
          const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
          data.items.add(new File([bytes], "a.png", { type: "image/png" }));
          data.items.add(new File(["text"], "a.txt", { type: "text/plain" }));
          document.body.dispatchEvent(how === "paste"
            ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [how, base64.b64encode(INPUT).decode()],
    )


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_image_is_taken_by_paste_and_by_drop(page: Page, providers: Providers, how: str) -> None:
    open_view(page, "edit", MODEL)
    transfer(page, how)
    expect(page.locator(".input-list li")).to_have_count(1)
    expect_status(submit(page, "make it night"), "Completed")
    (sent,) = submissions(providers["openai"])
    assert sent.part("image").data == INPUT


def test_image_dropped_on_the_generate_view_opens_the_edit_view(page: Page) -> None:
    open_view(page)
    transfer(page, "drop")
    expect(page.get_by_role("link", name="Edit", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator(".input-list li")).to_have_count(1)


def test_format_that_only_the_browser_knows_becomes_png(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    add(page, image_bytes(64, 48, "GIF"), media_type="image/gif")
    expect_status(submit(page, "make it night"), "Completed")
    (sent,) = submissions(providers["openai"])
    converted = pixels(sent.part("image").data)
    assert (converted.format, converted.size) == ("PNG", (64, 48))


def test_file_that_is_no_image_is_refused_in_words(page: Page, providers: Providers) -> None:
    open_view(page, "edit", MODEL)
    pick(page, FilePayload(name="notes.png", mimeType="image/png", buffer=b"text"))
    expect(page.get_by_role("alert")).to_contain_text("notes.png is not an image that this browser can read.")
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Add an image to edit.")
    assert providers.calls() == {}


def test_result_becomes_the_input_of_an_edit(page: Page, providers: Providers) -> None:
    open_view(page, model="local/sketch")
    run = submit(page, "snowy mountains")
    expect_status(run, "Completed")
    run.get_by_role("button", name="Use as input").click()
    expect(page.get_by_role("link", name="Edit", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator(".input-list li")).to_have_count(1)
    expect(page.locator(".input-list li")).to_contain_text("1024")
    second = submit(page, "snowy mountains at night")
    expect_status(second, "Completed")
    second.get_by_role("button", name="Use as input").click()
    expect(page.locator(".input-list li")).to_have_count(1)
    assert providers.billed() == {"bria": 1}


def test_model_that_only_edits_is_offered_here_and_needs_no_prompt(page: Page, providers: Providers) -> None:
    open_view(page)
    page.locator(".model-button").click()
    page.get_by_role("combobox", name="Search models").fill("bria/eraser")
    expect(page.get_by_text("No model matches.")).to_be_visible()
    open_view(page, "edit", "bria/eraser")
    assert "mask" not in fields(page), "without an image there is nothing to paint on"
    add(page, INPUT)
    drag(page, open_mask(page), (0.2, 0.5), (0.5, 0.5))
    page.get_by_role("button", name="Use this mask").click()
    expect_status(submit(page, ""), "Completed")
    assert providers.billed() == {"bria": 1}


def test_strength_reaches_the_provider(page: Page, providers: Providers) -> None:
    open_view(page, "edit", "recraft/recraft-v3")
    add(page, INPUT)
    more_options(page)
    page.get_by_label("Strength").fill("0.2")
    expect_status(submit(page, "make it night"), "Completed")
    assert submissions(providers["recraft"])[0].part("strength").text == "0.2"


def test_surplus_images_are_explained(page: Page, problems: Problems) -> None:
    open_view(page, "edit", MODEL)
    add(page, INPUT, INPUT)
    page.locator(".model-button").click()
    page.get_by_role("combobox", name="Search models").fill("bria/fibo-edit/edit")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("remove 1")
    assert problems.found == []
