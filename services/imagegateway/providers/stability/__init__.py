"""Stability AI: its own API, and SDXL by Replicate, fal or a server of one's own."""
