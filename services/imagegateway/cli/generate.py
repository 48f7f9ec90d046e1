"""`imagegateway generate`: images from a prompt."""

from __future__ import annotations

from cyclopts import App
from imagegateway.cli.images.arguments import Prompt, prompt_text, usable
from imagegateway.cli.images.fields import ImageFields
from imagegateway.cli.images.options import RunOptions
from imagegateway.cli.images.run import run
from imagegateway.cli.images.submission import Request
from imagegateway.cli.target import Connection

_EXAMPLES = """
Examples:
  imagegateway generate "a red fox in snow"
  imagegateway generate "a red fox in snow" --model openai/gpt-image-2 --size 1024x1024 --output fox.webp
  imagegateway generate "a logo of a fox" -n 4 --output logos/
  imagegateway generate "a red fox in snow" --dry-run
  echo "a red fox in snow" | imagegateway generate - --output - > fox.png
"""
app = App(name="generate", help_epilogue=_EXAMPLES)


@app.default
def generate(
    prompt: Prompt,
    /,
    *,
    fields: ImageFields = ImageFields(),
    options: RunOptions = RunOptions(),
    connection: Connection = Connection(),
) -> None:
    """Make images from a prompt, and save them."""
    with usable("generate"):
        body = {**options.format_fields(), **fields.body(), "prompt": prompt_text(prompt)}
        request = Request("/v1/images/generations", body, fields.headers(), is_strict=options.strict)
    run(connection, request, options, "generate")
