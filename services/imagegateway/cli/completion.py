"""`imagegateway completion`: scripts by which shells complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter
from imagegateway.cli import program

_EXAMPLES = """Install:
  bash  imagegateway completion bash > ~/.local/share/bash-completion/completions/imagegateway
  zsh   imagegateway completion zsh > "${fpath[1]}/_imagegateway"
  fish  imagegateway completion fish > ~/.config/fish/completions/imagegateway.fish"""

# cyclopts prints the function alone. zsh reads a file in its function path at the first completion.
_ZSH_END = """
if [[ $funcstack[1] == _imagegateway ]]; then
  _cyclopts_imagegateway "$@"
else
  compdef _cyclopts_imagegateway imagegateway
fi"""

app = App(name="completion", help_epilogue=_EXAMPLES)


@app.default
def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")], /) -> None:
    """Print the completion script of a shell."""
    print(program().generate_completion(shell=shell) + (_ZSH_END if shell == "zsh" else ""))
