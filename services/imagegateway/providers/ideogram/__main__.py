"""Serve the family alone: `python -m imagegateway.providers.ideogram`."""

from imagegateway.providers.registry import FAMILIES, main

main({"ideogram": FAMILIES["ideogram"]})
