"""`imagegateway edit`: images from images, by a prompt."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter
from imagegateway.cli.images.arguments import ImagesAndPrompt, guide, read_inputs, usable
from imagegateway.cli.images.fields import EditFields
from imagegateway.cli.images.options import RunOptions
from imagegateway.cli.images.run import run
from imagegateway.cli.images.submission import Request
from imagegateway.cli.target import Connection

_EXAMPLES = """
Examples:
  imagegateway edit fox.png "make it winter" --output winter.png
  imagegateway edit fox.png "a hat" --mask hat-area.png
  imagegateway edit fox.png snow.jpg "the fox of the first image in the snow of the second" --model bfl/flux-2-pro
  imagegateway edit photo.jpg --model bria/remove-background --output cutout.png
"""
app = App(name="edit", usage="Usage: imagegateway edit [OPTIONS] IMAGE... [PROMPT]", help_epilogue=_EXAMPLES)


@app.default
def edit(
    *images_and_prompt: ImagesAndPrompt,
    mask: Annotated[
        str | None,
        Parameter(help="File or URL: transparent areas are edited, or white ones of a mask without transparency."),
    ] = None,
    markup: Annotated[
        str | None, Parameter(help="File or URL of a drawing over the first image; not together with --mask.")
    ] = None,
    fields: EditFields = EditFields(),
    options: RunOptions = RunOptions(),
    connection: Connection = Connection(),
) -> None:
    """Edit images by a prompt, inside a mask if there is one, and save the results."""
    with usable("edit"):
        inputs = read_inputs(images_and_prompt)
        mask_file, mask_url = guide("mask", mask)
        markup_file, markup_url = guide("markup", markup)
        body: dict[str, Any] = {**options.format_fields(), **fields.body(), **mask_url, **markup_url}
        if inputs.prompt is not None:
            body["prompt"] = inputs.prompt
        if inputs.urls:
            body["images"] = list(inputs.urls)
        files = [*inputs.files, *mask_file, *markup_file]
        request = Request("/v1/images/edits", body, fields.headers(), files, is_strict=options.strict)
    run(connection, request, options, "edit")
