"""Marking devices. The seam is in `base`; each protocol is a codec and a thin client."""
