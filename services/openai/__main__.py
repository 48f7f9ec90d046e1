"""Serve the family alone: `python -m services.openai`."""

from services.providers import FAMILIES, main

main({"openai": FAMILIES["openai"]})
