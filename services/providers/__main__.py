"""Serve every family: `python -m services.providers`."""

from services.local.family import open_family as open_local
from services.providers import main

main({"local": open_local})
