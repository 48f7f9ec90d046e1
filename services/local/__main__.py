"""Serve the family alone: `python -m services.local`."""

from services.providers import FAMILIES, main

main({"local": FAMILIES["local"]})
