"""What comes from outside: images of registries, and directories of the user."""
