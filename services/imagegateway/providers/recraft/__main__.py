"""Serve the family alone: `python -m imagegateway.providers.recraft`."""

from imagegateway.providers.registry import FAMILIES, main

main({"recraft": FAMILIES["recraft"]})
