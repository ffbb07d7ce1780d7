"""The client of OCI distribution registries: manifests and blobs, verified as they arrive."""
