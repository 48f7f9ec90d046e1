"""Stability AI: its own API, and SDXL by Replicate, fal or a self-hosted server."""
