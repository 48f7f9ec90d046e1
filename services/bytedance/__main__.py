"""Serve the family alone: `python -m services.bytedance`."""

from services.providers import FAMILIES, main

main({"bytedance": FAMILIES["bytedance"]})
