"""Serve every family: `python -m services.providers`."""

from services.providers import FAMILIES, main

main(FAMILIES)
