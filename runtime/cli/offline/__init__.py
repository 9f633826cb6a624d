"""Commands that need no running cell: one module a group."""
