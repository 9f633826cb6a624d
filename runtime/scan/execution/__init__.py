"""Which tasks are due, their calls and their workers' jobs."""
