"""The solver: generic in its result type; knows definitions, keys and ops, and no operation by name."""
