"""A greeting."""
