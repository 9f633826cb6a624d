"""Operating states, keyswitch, and what keeps a cell from running."""
