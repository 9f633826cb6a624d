"""The command line: what all commands share, the commands in two rooms, their views."""
