"""Scenes for the `details` datasets: what stands where is decided in whole numbers, and drawn from bundled bitmaps."""
