"""What a process asks of the computer, and what the computer grants."""
