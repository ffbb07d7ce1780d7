"""The Dockerfile language."""
