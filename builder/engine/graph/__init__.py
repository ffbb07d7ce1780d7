"""Builds and images as graphs to look at: values, without any picture of them."""
