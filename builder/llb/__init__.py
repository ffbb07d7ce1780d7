"""Build definitions as values: flat, frozen, digest-keyed; no I/O."""
