#!/bin/sh
# A checkout has no empty directories.
mkdir -p empty tree/empty/deeper tree/another && : > tree/empty-file
