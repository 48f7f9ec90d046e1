"""Serve the family alone: `python -m imagegateway.providers.stability`."""

from imagegateway.providers.registry import FAMILIES, main

main({"stability": FAMILIES["stability"]})
