"""Serve the family alone: `python -m imagegateway.providers.openai`."""

from imagegateway.providers.registry import FAMILIES, main

main({"openai": FAMILIES["openai"]})
