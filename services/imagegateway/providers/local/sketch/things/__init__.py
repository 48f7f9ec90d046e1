"""Things in the sketch model's images: boats, balloons, houses, animals, trees.

Each function draws one thing that stands on, or hangs at, the point `foot`; `size` is its height in pixels.
"""

from imagegateway.providers.local.sketch.things.animals import animal
from imagegateway.providers.local.sketch.things.buildings import cabin, lighthouse, tent
from imagegateway.providers.local.sketch.things.craft import balloon, rocket, sailboat
from imagegateway.providers.local.sketch.things.people import walker
from imagegateway.providers.local.sketch.things.plants import cactus, pine, tree
from imagegateway.providers.local.sketch.things.tableware import cup, vase
from imagegateway.providers.local.sketch.things.wildlife import birds, whale

__all__ = [
    "animal",
    "balloon",
    "birds",
    "cabin",
    "cactus",
    "cup",
    "lighthouse",
    "pine",
    "rocket",
    "sailboat",
    "tent",
    "tree",
    "vase",
    "walker",
    "whale",
]
