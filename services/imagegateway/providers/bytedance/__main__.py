"""Serve the family alone: `python -m imagegateway.providers.bytedance`."""

from imagegateway.providers.registry import FAMILIES, main

main({"bytedance": FAMILIES["bytedance"]})
