"""Serve the family alone: `python -m imagegateway.providers.google`."""

from imagegateway.providers.registry import FAMILIES, main

main({"google": FAMILIES["google"]})
