"""The MES over HTTP: a thin adapter to its actions. No rule, no SQL."""
