"""The vision station: reading a mark back and comparing it with what was ordered."""
