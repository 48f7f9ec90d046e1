"""`imagegateway video`: a video from a prompt."""

from __future__ import annotations

from cyclopts import App
from imagegateway.cli.images.arguments import Prompt, prompt_text, usable
from imagegateway.cli.images.fields import VideoFields
from imagegateway.cli.images.options import RunOptions
from imagegateway.cli.images.run import run
from imagegateway.cli.images.submission import Request
from imagegateway.cli.target import Connection

_EXAMPLES = """
Examples:
  imagegateway video "a red fox runs through snow" --seconds 6 --output fox.mp4
  imagegateway video "a red fox runs through snow" --model google/gemini-omni-1.2-flash --dry-run
"""
app = App(name="video", help_epilogue=_EXAMPLES)


@app.default
def video(
    prompt: Prompt,
    /,
    *,
    fields: VideoFields = VideoFields(),
    options: RunOptions = RunOptions(),
    connection: Connection = Connection(),
) -> None:
    """Make a video from a prompt, and save it. Videos take minutes."""
    with usable("video"):
        body = {**fields.body(), "prompt": prompt_text(prompt)}
        request = Request("/v1/videos/generations", body, fields.headers(), is_strict=options.strict)
    run(connection, request, options, "video")
