"""Serve the family alone: `python -m imagegateway.providers.local`."""

from imagegateway.providers.registry import FAMILIES, main

main({"local": FAMILIES["local"]})
