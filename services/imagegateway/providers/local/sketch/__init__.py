"""The development model `local/sketch`: draws a small poster from the words of a prompt, on this machine.

It's no neural network and doesn't pretend to be one: a word list picks a scene, a palette and things to put
in it, the rest is left to a generator that the prompt and the seed start, and the prompt is set under the
picture together with the model's name. Everything here is a pure function: the same arguments give the same
bytes, in every process, and nothing is read or timed.
"""

from imagegateway.providers.local.sketch.brief import Brief
from imagegateway.providers.local.sketch.composition import draw
from imagegateway.providers.local.sketch.editing import edit
from imagegateway.providers.local.sketch.output import encode, preview

__all__ = ["Brief", "draw", "edit", "encode", "preview"]
