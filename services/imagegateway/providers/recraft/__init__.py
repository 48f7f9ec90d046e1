"""Recraft: raster pictures and vector drawings."""
