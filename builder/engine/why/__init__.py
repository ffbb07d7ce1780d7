"""Why steps run: the inputs of a key beside those that it had before, and what of them changed first."""
