"""The packages of a tree, found by what their managers wrote, and the SPDX document that lists them."""
