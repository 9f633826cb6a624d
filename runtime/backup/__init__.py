"""A cell as one verified archive, taken while it runs, and a cell made of an archive."""
