"""Field device drivers. The seam is `base`; the poll loop is `cellwright.io.drivers.poll_loop`."""
