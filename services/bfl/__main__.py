"""Serve the family alone: `python -m services.bfl`."""

from services.providers import FAMILIES, main

main({"bfl": FAMILIES["bfl"]})
