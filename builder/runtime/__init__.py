"""Containers: what an image says and what the caller says, put together and run."""
