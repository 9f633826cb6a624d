"""Lua templates in a process of their own, under a budget."""
