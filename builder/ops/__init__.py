"""The operations of a definition, executed."""
