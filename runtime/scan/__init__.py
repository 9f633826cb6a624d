"""The cycle. Imports no other room of the runtime."""
