"""Frontends: text to Definition, without I/O."""
