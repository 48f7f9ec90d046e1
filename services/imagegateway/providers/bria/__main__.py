"""Serve the family alone: `python -m imagegateway.providers.bria`."""

from imagegateway.providers.registry import FAMILIES, main

main({"bria": FAMILIES["bria"]})
