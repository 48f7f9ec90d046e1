"""Serve the family alone: `python -m imagegateway.providers.bfl`."""

from imagegateway.providers.registry import FAMILIES, main

main({"bfl": FAMILIES["bfl"]})
