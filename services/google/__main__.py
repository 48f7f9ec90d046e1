"""Serve the family alone: `python -m services.google`."""

from services.providers import FAMILIES, main

main({"google": FAMILIES["google"]})
