"""Serve the family alone: `python -m services.recraft`."""

from services.providers import FAMILIES, main

main({"recraft": FAMILIES["recraft"]})
