"""pybuild: a Dockerfile build engine and the runtime that launches what it builds."""

__version__ = "0.1.0"
