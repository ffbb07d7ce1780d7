"""Attestations: what an image is made of (SBOM) and how it was made (provenance), as in-toto statements."""
