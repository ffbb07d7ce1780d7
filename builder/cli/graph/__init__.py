"""Drawings of builds and images: as text, for Graphviz, for programs, and as a page."""
