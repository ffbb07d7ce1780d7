"""Assembly: the only package that names implementations, and one module per family of verbs."""
