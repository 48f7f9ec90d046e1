"""Recraft: raster images and vector drawings."""
