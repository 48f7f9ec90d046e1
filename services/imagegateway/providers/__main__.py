"""Serve every family: `python -m imagegateway.providers`."""

from imagegateway.providers.registry import FAMILIES, main

main(FAMILIES)
