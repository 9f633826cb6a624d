"""A running cell as its processes and tools find it: run folder, lock, membership, logs."""
