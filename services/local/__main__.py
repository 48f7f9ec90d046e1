"""Serve the embedded family alone: `python -m services.local`."""

from services.local.family import open_family
from services.providers import main

main({"local": open_family})
