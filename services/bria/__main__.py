"""Serve the family alone: `python -m services.bria`."""

from services.providers import FAMILIES, main

main({"bria": FAMILIES["bria"]})
