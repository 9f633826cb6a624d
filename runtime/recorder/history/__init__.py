"""Records the tags of a cell: what has changed in the image, handed to the history."""
