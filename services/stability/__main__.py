"""Serve the family alone: `python -m services.stability`."""

from services.providers import FAMILIES, main

main({"stability": FAMILIES["stability"]})
