"""Serve the family alone: `python -m services.ideogram`."""

from services.providers import FAMILIES, main

main({"ideogram": FAMILIES["ideogram"]})
