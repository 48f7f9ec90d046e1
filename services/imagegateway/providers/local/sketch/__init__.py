"""The development model `local/sketch`: draws a small poster from the words of a prompt, on this machine.

The model is not a neural network: a word list selects a scene, a palette and things, a random generator that the
prompt and the seed start decides the rest, and a caption under the image shows the prompt and the model's name.
All functions here are pure: the same arguments produce the same bytes in every process, without I/O or clock.
"""

from imagegateway.providers.local.sketch.brief import Brief
from imagegateway.providers.local.sketch.composition import draw
from imagegateway.providers.local.sketch.editing import edit
from imagegateway.providers.local.sketch.output import encode, partial_image

__all__ = ["Brief", "draw", "edit", "encode", "partial_image"]
