"""Symbols that marks are made of: Data Matrix (ISO/IEC 16022)."""
