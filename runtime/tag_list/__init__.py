"""Lists of tags for spreadsheets: written from a cell's file, and taken into it again."""
