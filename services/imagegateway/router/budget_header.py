"""Response header `X-Budget-Remaining` of calls that make jobs under a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform.money import decimal_usd

if TYPE_CHECKING:
    from imagegateway.router.call_context import Call

NAME: Final = "x-budget-remaining"


def show_budget(call: Call, left: int | None) -> None:
    """Set the header to what a budget leaves, in US dollars. `left`: nano-dollars; None: there is no budget."""
    if left is not None:
        call.headers[NAME] = decimal_usd(max(0, left))
