"""Commands to a running cell and to what it has recorded: one module a group."""
