"""Ideogram: pictures with lettering, edits with masks."""
