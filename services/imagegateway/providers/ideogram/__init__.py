"""Ideogram: images with lettering, and edits with masks."""
