"""Reading of a prompt: the scene, palette, weather and things that its words name.

For a prompt of unknown words, its hash selects a palette and a scene.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from imagegateway.providers.local.sketch.palette import COLOURS, PALETTES, Colour, Palette, dye

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random


def _lexicon(table: Mapping[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, words in table.items() for word in words.split()}


_SCENES: Final = _lexicon(
    {
        "sea": "sea ocean wave beach coast shore harbor harbour surf tide sailing marine island bay "
        "underwater whale dolphin shark fish boat ship sailboat yacht lighthouse pirate mermaid "
        "reef water",
        "lake": "lake river pond fjord reflection canoe loch lagoon stream waterfall swan duck otter",
        "mountain": "mountain peak alp alps alpine summit ridge cliff valley glacier snow winter ski volcano "
        "canyon himalaya everest fuji rock rocky hike hiker lava",
        "forest": "forest wood tree jungle pine fir birch grove rainforest taiga fern mushroom deer wolf "
        "bear elf fairy swamp woodland camping tent",
        "hills": "hill meadow field countryside farm village pasture prairie garden grass lawn vineyard "
        "tuscany spring sheep horse cow barn windmill cottage balloon road path landscape park "
        "sunflower rabbit",
        "city": "city town skyline street urban downtown skyscraper building architecture metropolis "
        "cyberpunk neon tokyo manhattan york london paris car taxi traffic rooftop office bridge "
        "futuristic alley",
        "space": "space galaxy planet star nebula cosmos cosmic universe astronaut rocket alien orbit "
        "saturn mars jupiter comet asteroid spaceship spacecraft satellite milky",
        "desert": "desert dune sahara cactus oasis camel arid savanna savannah safari mesa arizona egypt pyramid",
        "abstract": "abstract geometric pattern shape bauhaus minimal minimalist minimalism logo icon "
        "composition texture mosaic wallpaper circle triangle square fractal concept modern "
        "poster swirl art",
        "portrait": "portrait face woman man girl boy person people child king queen wizard selfie headshot "
        "lady model knight samurai princess prince robot android human character warrior dancer "
        "actor chef doctor scientist",
        "still": "vase flower bouquet rose tulip cup coffee tea mug teapot bottle bowl fruit apple lemon "
        "product perfume table kitchen food cake bread wine candle book watch sneaker shoe lamp "
        "chair plant pot interior room",
    }
)
_PALETTES: Final = _lexicon(
    {
        "dawn": "dawn sunrise morning daybreak aurora",
        "day": "day daylight noon midday sunny bright sunshine afternoon",
        "sunset": "sunset evening sundown",
        "dusk": "dusk twilight nightfall gloaming",
        "night": "night midnight moon moonlit moonlight nocturnal starry stars dark darkness",
        "storm": "storm stormy thunder thunderstorm lightning rain rainy gloomy sad melancholy cloudy "
        "overcast dramatic angry moody",
        "fog": "fog foggy mist misty haze hazy calm quiet serene zen lonely peaceful",
        "winter": "winter snow snowy ice icy frozen frost frosty glacier blizzard christmas arctic antarctic cold",
        "autumn": "autumn fall october november harvest pumpkin halloween cozy cosy rustic vintage maple",
        "spring": "spring blossom bloom april may cherry fresh garden meadow tulip happy joyful cheerful",
        "desert": "desert dune sahara savanna savannah safari mesa arizona egypt camel pyramid canyon",
        "ocean": "ocean sea wave underwater marine surf reef whale dolphin beach summer tropical lagoon",
        "forest": "forest jungle rainforest woodland grove fern moss swamp",
        "space": "space galaxy nebula cosmos cosmic universe planet astronaut orbit saturn alien",
        "neon": "neon cyberpunk synthwave vaporwave futuristic tokyo disco electric nightclub",
        "pastel": "pastel dreamy dream cute sweet candy soft gentle baby kawaii whimsical magical romantic "
        "love unicorn fairy",
        "ink": "monochrome sketch charcoal noir pencil ink minimal minimalist minimalism",
        "lava": "lava volcano fire hell inferno dragon apocalypse burning ember flame",
    }
)
_STRONGEST: Final = (
    *("lava", "neon", "night", "sunset", "dusk", "dawn", "storm", "winter", "autumn", "fog", "spring"),
    *("pastel", "ink", "desert", "ocean", "forest", "space", "day"),
)
"""Which palette leads when the words name several: "a winter night" is first of all a night."""
_THINGS: Final = _lexicon(
    {
        "boat": "boat sailboat ship yacht sailing canoe pirate regatta",
        "lighthouse": "lighthouse",
        "balloon": "balloon",
        "cabin": "cabin house cottage hut barn farm village home chalet",
        "cat": "cat kitten kitty siamese lion tiger panther leopard lynx",
        "fox": "fox wolf husky coyote",
        "dog": "dog puppy corgi retriever labrador poodle",
        "bear": "bear panda otter teddy koala capybara hamster hedgehog beaver monkey",
        "rabbit": "rabbit bunny hare",
        "bird": "bird seagull gull crow raven eagle swallow flock crane goose",
        "walker": "traveler traveller hiker wanderer walker monk figure samurai knight wizard astronaut man "
        "woman person girl boy child",
        "tree": "tree oak blossom sakura bonsai apple",
        "rocket": "rocket spaceship spacecraft shuttle",
        "whale": "whale",
        "tent": "tent camping camp",
        "cup": "cup coffee tea mug latte espresso cappuccino teapot",
        "cactus": "cactus saguaro",
    }
)
ANIMALS: Final = frozenset({"cat", "fox", "dog", "bear", "rabbit"})
_WEATHER: Final = _lexicon(
    {
        "rain": "rain rainy storm stormy thunderstorm monsoon drizzle",
        "snow": "snow snowy blizzard snowfall christmas",
        "mist": "fog foggy mist misty haze hazy",
        "stars": "star stars starry night midnight galaxy",
        "clear": "clear cloudless",
    }
)
_PHRASES: Final = (("golden hour", "sunset"), ("new york", "skyline"), ("sci-fi", "futuristic"))
_DEFAULT_PALETTE: Final[Mapping[str, tuple[str, ...]]] = {
    "sea": ("ocean",),
    "lake": ("dawn", "ocean", "fog"),
    "mountain": ("dawn", "winter", "dusk"),
    "forest": ("forest",),
    "hills": ("spring", "day", "autumn"),
    "city": ("dusk", "sunset", "dawn"),
    "space": ("space",),
    "desert": ("desert",),
    "abstract": ("autumn", "pastel", "ocean", "desert", "day"),
    "portrait": ("desert", "pastel", "spring", "dusk"),
    "still": ("autumn", "pastel", "desert", "forest"),
}
_ANYWHERE: Final = (
    "dawn",
    "day",
    "sunset",
    "dusk",
    "night",
    "fog",
    "autumn",
    "spring",
    "ocean",
    "desert",
    "pastel",
)
_DARK: Final = frozenset({"space", "night", "lava", "neon"})


def _words(text: str) -> list[str]:
    """Lower-case words, emoji by their names, accents off."""
    named = "".join(
        f" {unicodedata.name(char, '').lower()} " if unicodedata.category(char) == "So" else char
        for char in text[:4000]
    )
    plain = unicodedata.normalize("NFKD", named).lower()
    for phrase, word in _PHRASES:
        plain = plain.replace(phrase, word)
    return re.findall(r"[^\W_]+", "".join(char for char in plain if not unicodedata.combining(char)))


def _known(word: str, lexicon: Mapping[str, object]) -> str | None:
    """Return the lexicon's form of a word, with or without a plural ending; None for an unknown word."""
    for form in (word, word.removesuffix("s"), word.removesuffix("es")):
        if form in lexicon:
            return form
    if word.endswith("ies") and word[:-3] + "y" in lexicon:
        return word[:-3] + "y"
    return None


def _meanings(words: Iterable[str], lexicon: Mapping[str, str]) -> list[str]:
    """Return the meanings of words, each meaning once, in order."""
    found = (_known(word, lexicon) for word in words)
    return list(dict.fromkeys(lexicon[word] for word in found if word is not None))


@dataclass(frozen=True, slots=True)
class Reading:
    """Content of an image as read from a prompt."""

    scene: str
    """Name in the registry of scenes."""
    palette: Palette
    weather: frozenset[str]
    """Of `rain`, `snow`, `mist`, `stars`, `clear`."""
    things: Mapping[str, Colour | None]
    """Things to paint, each with the colour that the prompt states for it, if any."""


def _palette(
    names: list[str], scene: str, *, scene_given: bool, tints: list[Colour], avoid: set[str], rng: Random
) -> Palette:
    usual = [name for name in _DEFAULT_PALETTE[scene] if name not in avoid]
    open_names = [name for name in _ANYWHERE if name not in avoid] or ["pastel"]
    first = rng.choice(usual or open_names)
    anywhere = rng.choice(open_names)
    if scene == "space":
        # In daylight colours, space would look like mud.
        names = ["space", *(name for name in names if name != "space")]
    turn = rng.uniform(-9, 9)
    wild = rng.uniform(-26, 26)
    if names:
        lead, *rest = names if scene == "space" else sorted(names, key=_STRONGEST.index)
        palette = PALETTES[lead]
        if rest:
            palette = palette.mixed(PALETTES[rest[0]], 0.2)
        elif scene_given and lead not in _DARK:
            palette = palette.mixed(PALETTES[first], 0.14)
        turn /= 2
    elif scene_given:
        palette = PALETTES[first]
    else:
        palette = PALETTES[anywhere]
        turn = wild
    palette = palette.each(turn=turn)
    for index, tint in enumerate(tints[:2]):
        palette = palette.dyed(tint, 0.9 if index == 0 else 0.25)
    if len(tints) > 1:
        palette = replace(palette, accent=dye(palette.accent, tints[1], 0.9))
    return palette


def read(prompt: str, negative_prompt: str, rng: Random) -> Reading:
    """Read a prompt. `rng` selects the parts that its words do not name.

    Words of the negative prompt are ignored in the prompt, and their meanings are excluded from random choice.
    """
    unwanted = set(_words(negative_prompt))
    words = [word for word in _words(prompt) if word not in unwanted]
    avoid_palettes = set(_meanings(unwanted, _PALETTES))
    avoid_scenes = set(_meanings(unwanted, _SCENES))
    avoid_things = set(_meanings(unwanted, _THINGS)) | set(_meanings(unwanted, _WEATHER))

    things: dict[str, Colour | None] = {}
    tints: list[Colour] = []
    waiting: list[tuple[int, Colour]] = []
    for place, word in enumerate(words):
        if (colour := COLOURS.get(word)) is not None:
            waiting.append((place, colour))
        elif (known := _known(word, _THINGS)) is not None and _THINGS[known] not in avoid_things:
            # "a small red balloon" colours the balloon; a colour more than two words before colours the image.
            near = [colour for at, colour in waiting if place - at <= 2]
            tints += [colour for at, colour in waiting if place - at > 2]
            waiting = []
            thing = _THINGS[known]
            things[thing] = near[-1] if near else things.get(thing)
    tints += [colour for _, colour in waiting]

    scenes = [scene for scene in _meanings(words, _SCENES) if scene not in avoid_scenes]
    land = [scene for scene in scenes if scene not in {"portrait", "still", "abstract"}]
    if land and ("portrait" not in scenes or "walker" in things) and "still" not in scenes[:1]:
        scene = "lake" if "lake" in land and land[0] in {"mountain", "forest", "hills"} else land[0]
    elif scenes:
        scene = scenes[0]
    else:
        pool = ["hills", "mountain", "lake"] if things else list(_DEFAULT_PALETTE)
        pool = [name for name in pool if name not in avoid_scenes and name not in {"portrait", "still"}]
        scene = rng.choice(pool or ["abstract"])
    if "cup" in things and not land:
        scene = "still"
    if scene == "portrait" and ANIMALS & things.keys():
        scene = "hills"
    names = [name for name in _meanings(words, _PALETTES) if name not in avoid_palettes]
    return Reading(
        scene=scene,
        palette=_palette(names, scene, scene_given=bool(scenes), tints=tints, avoid=avoid_palettes, rng=rng),
        weather=frozenset(_meanings(words, _WEATHER)) - avoid_things,
        things=things,
    )
