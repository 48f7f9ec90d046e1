"""Bria: FIBO, its edits, eraser, generative fill and background removal, by its own API or by fal."""
