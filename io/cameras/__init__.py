"""Cameras. The seam is in `base`."""
