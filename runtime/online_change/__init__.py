"""Changes the programs of a running cell: check, load in turns, swap."""
