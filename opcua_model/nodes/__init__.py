"""The cell as nodes: its tree, its tags, controller, figures, and their publishing."""
