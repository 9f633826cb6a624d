"""The image as the scan works on it: latch, overlay, commit, publish."""
