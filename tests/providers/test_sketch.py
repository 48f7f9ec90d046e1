"""Development model: deterministic, guided by the prompt, exact under a mask, and robust."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from imagegateway.providers.local import sketch
from imagegateway.providers.local.sketch import Brief
from imagegateway.providers.local.sketch.lettering import fit, legible
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "",
    "   \n\t ",
    "x" * 5000,
    "Donaudampfschifffahrtsgesellschaft" * 9,
    "line one\r\nline two\x00\x07\x1b[31m",
    "مرحبا بالعالم \u202eabc",
    "夕焼けの海",
    "🦊👩‍🚀🏳️‍🌈 \ufe0f\u200d",
    "\ud800 lone \udfff surrogate",
    "e\u0301" * 300,
    "%s {0} ${x} <b>&amp;</b> ../../etc",
    "\U000f0000\U0010ffff\uffff",
]


def brief(prompt: str = "a quiet harbour at dawn", width: int = 192, height: int = 160, seed: int = 7) -> Brief:
    return Brief(prompt, width, height, seed)


def means(image: Image.Image) -> list[float]:
    return ImageStat.Stat(image.convert("RGB")).mean


def blue_over_red(prompt: str) -> float:
    found = [means(sketch.draw(brief(prompt, 96, 96, seed))) for seed in range(4)]
    return sum(blue - red for red, _, blue in found)


def test_same_brief_makes_the_same_bytes() -> None:
    first = sketch.encode(sketch.draw(brief()), "png", None)
    assert sketch.encode(sketch.draw(brief()), "png", None) == first


@pytest.mark.processes
def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib; from imagegateway.providers.local.sketch import Brief, draw, encode;"
        "image = draw(Brief('a quiet harbour at dawn', 192, 160, 7));"
        "print(hashlib.sha256(encode(image, 'png', None)).hexdigest())"
    )
    # A random hash seed: the order of sets must not show.
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "42"},
    )
    here = hashlib.sha256(sketch.encode(sketch.draw(brief()), "png", None)).hexdigest()
    assert child.stdout.strip() == here


def test_drawing_depends_on_prompt_seed_style_and_negative_prompt() -> None:
    briefs = [
        brief(),
        brief("a quiet harbour at dusk"),
        brief(seed=8),
        Brief("a quiet harbour at dawn", 192, 160, 7, style="vivid"),
        Brief("a quiet harbour at dawn", 192, 160, 7, style="natural"),
        Brief("a quiet harbour at dawn", 192, 160, 7, negative_prompt="harbour"),
        Brief("a quiet harbour at dawn", 192, 160, 7, quality="low"),
    ]
    assert len({sketch.draw(one).tobytes() for one in briefs}) == len(briefs)


@pytest.mark.parametrize(
    ("width", "height"),
    [(64, 64), (64, 512), (512, 64), (65, 97), (256, 256), (320, 200), (200, 320), (64, 2048), (2048, 64)],
)
def test_drawing_has_the_requested_size(width: int, height: int) -> None:
    for prompt in ("a lighthouse in a storm", "two cats in a city, with a long tail of words " * 6):
        image = sketch.draw(brief(prompt, width, height))
        assert image.size == (width, height)
        assert image.mode == "RGB"


@pytest.mark.parametrize("prompt", HOSTILE)
def test_hostile_prompt_is_drawn(prompt: str) -> None:
    image = sketch.draw(brief(prompt, 320, 256))
    assert image.size == (320, 256)
    assert legible(legible(prompt)) == legible(prompt)
    assert sketch.edit(brief(prompt, 128, 128), [image], None).size == (128, 128)


@pytest.mark.parametrize(
    "prompt",
    [
        "sea lighthouse boat whale cat",
        "lake with a boat and a dog",
        "mountain cabin tent wanderer in the snow",
        "forest bear in the mist",
        "meadow with a rabbit, a tree, a cottage, a balloon and birds",
        "city in the rain with a fox",
        "rocket in space",
        "desert cactus camel",
        "abstract shapes",
        "portrait of a woman",
        "cup of coffee",
        "vase of flowers",
        "rocket over a village",
    ],
)
def test_every_motif_is_drawn_at_the_requested_size(prompt: str) -> None:
    for seed in range(3):
        assert sketch.draw(brief(prompt, 160, 128, seed)).size == (160, 128)


def test_palette_follows_the_words_of_the_prompt() -> None:
    assert blue_over_red("ocean") > blue_over_red("desert") + 100
    assert blue_over_red("blue hills") > blue_over_red("red hills") + 100
    day, night = (means(sketch.draw(brief(f"mountains, {hour}", 96, 96))) for hour in ("midday", "midnight"))
    assert sum(day) > sum(night) + 150


def test_negative_prompt_takes_its_words_out() -> None:
    plain = means(sketch.draw(brief("mountains at night", 96, 96)))
    without = means(sketch.draw(Brief("mountains at night", 96, 96, 7, negative_prompt="night, dark")))
    assert sum(without) > sum(plain) + 100


def test_transparent_drawing_has_a_transparent_sky() -> None:
    image = sketch.draw(Brief("a red fox in a forest", 256, 256, 3, transparent=True))
    assert image.mode == "RGBA"
    alpha = image.getchannel("A")
    assert alpha.getextrema() == (0, 255)
    assert alpha.getpixel((128, 16)) == 0
    assert alpha.getpixel((128, 200)) == 255


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_edit_keeps_the_area_outside_the_mask(mode: str) -> None:
    source = sketch.draw(brief("a lake at noon", 192, 160)).convert(mode)
    if mode == "RGBA":
        source.putalpha(Image.linear_gradient("L").resize(source.size))
    mask = Image.new("L", source.size)
    ImageDraw.Draw(mask).ellipse((40, 30, 150, 120), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(2))
    result = sketch.edit(brief("a volcano at night"), [source], mask)
    assert result.mode == mode
    kept = mask.point([255] + [0] * 255)
    for before, after in zip(source.split(), result.split(), strict=True):
        difference = ImageChops.difference(before, after)
        assert ImageChops.multiply(difference, kept).getbbox() is None
    middle = (80, 60, 110, 90)
    assert result.crop(middle).tobytes() != source.crop(middle).tobytes()


def test_edit_with_a_blank_mask_changes_nothing() -> None:
    source = sketch.draw(brief())
    assert sketch.edit(brief("lava"), [source], Image.new("L", source.size)).tobytes() == source.tobytes()


def test_edit_resizes_to_the_brief() -> None:
    source = sketch.draw(brief("a lake", 300, 100))
    mask = Image.new("L", source.size, 255)
    for stencil in (None, mask):
        assert sketch.edit(brief("autumn", 128, 192), [source], stencil).size == (128, 192)


def test_edit_keeps_the_composition_and_shows_further_inputs() -> None:
    source = Image.new("RGB", (256, 256), (20, 20, 30))
    ImageDraw.Draw(source).rectangle((0, 0, 255, 120), fill=(240, 240, 230))
    alone = sketch.edit(brief("dusk", 256, 256), [source], None)
    light = alone.convert("L")
    upper, lower = (ImageStat.Stat(light.crop(part)).mean[0] for part in ((0, 40, 256, 110), (0, 130, 256, 170)))
    assert upper > lower + 60
    pinned = sketch.edit(brief("dusk", 256, 256), [source, Image.new("RGB", (90, 60), (250, 0, 0))], None)
    difference = ImageChops.difference(alone, pinned).getbbox()
    assert difference is not None
    assert difference[3] < 128


def test_edit_takes_any_mode() -> None:
    for mode in ("1", "L", "LA", "P", "CMYK", "I;16", "RGBA"):
        assert sketch.edit(brief("spring"), [Image.new(mode, (50, 40))] * 3, None).mode == "RGB"
    clear = Image.new("RGBA", (192, 160), (9, 9, 9, 0))
    result = sketch.edit(Brief("spring", 192, 160, 1, transparent=True), [clear], None)
    assert result.mode == "RGBA"
    assert result.getchannel("A").getpixel((190, 2)) == 0


def test_edit_needs_an_input() -> None:
    with pytest.raises(ValueError, match="at least one"):
        sketch.edit(brief(), [], None)


def test_partial_images_approach_the_result() -> None:
    image = sketch.draw(brief(width=256, height=192))
    distances = []
    for step in range(1, 5):
        partial = sketch.partial_image(image, step, 4)
        assert (partial.size, partial.mode) == (image.size, image.mode)
        distances.append(sum(ImageStat.Stat(ImageChops.difference(image, partial)).mean))
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 2 * distances[-1]
    for step in (0, 5):
        with pytest.raises(ValueError, match="step"):
            sketch.partial_image(image, step, 4)


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("compression", [None, 0, 50, 100])
@pytest.mark.parametrize("transparent", [False, True])
def test_encoded_drawing_is_reproducible_and_decodes(
    output_format: str, compression: int | None, transparent: bool
) -> None:
    image = sketch.draw(Brief("pines", 120, 100, 1, transparent=transparent))
    data = sketch.encode(image, output_format, compression)
    assert data == sketch.encode(image, output_format, compression)
    with Image.open(io.BytesIO(data)) as decoded:
        decoded.load()
        assert decoded.size == image.size
        assert decoded.format == output_format.upper()
        assert ("A" in decoded.getbands()) == (transparent and output_format != "jpeg")
        if output_format == "png":
            assert "local/sketch" in str(decoded.info["Comment"])
            assert decoded.tobytes() == image.tobytes()


def test_jpeg_is_white_where_the_image_is_clear() -> None:
    data = sketch.encode(Image.new("RGBA", (32, 32), (0, 0, 0, 0)), "jpeg", None)
    assert min(means(Image.open(io.BytesIO(data)))) > 250


def test_encode_of_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        sketch.encode(Image.new("RGB", (8, 8)), "gif", None)
    for quality in (-1, 101):
        with pytest.raises(ValueError, match="compression"):
            sketch.encode(Image.new("RGB", (8, 8)), "webp", quality)


def test_caption_is_transliterated_to_legible_letters() -> None:
    assert legible("Café  Übermut\n— “naïve”") == "Cafe Ubermut - “naive”"
    assert legible("море") == "more"
    assert legible("a 🦊!") == "a (fox face) !"
    assert legible("漢字漢字漢字") == "···"


def test_caption_fits_its_box() -> None:
    for text in ("short", "word " * 80, "unbroken" * 30):
        block = fit(text, 200, 60, 40)
        assert block.lines
        assert block.width <= 200
        assert block.height <= 60
    assert fit("word " * 80, 120, 30, 40).lines[-1].endswith("…")
    assert not fit("anything", 20, 20, 40).lines
