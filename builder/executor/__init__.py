"""Runs one process in a sandbox of its own."""
