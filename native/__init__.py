"""The C hot paths and their typed Python face. No policy: sizes, addresses and rules come in."""
