#!/bin/sh
# Modes that a checkout does not keep.
mkdir -p tree/sub/kept tree/closed && echo new > tree/sub/same && echo new > tree/sub/added
chmod 755 tree/sub/kept && chmod 640 tree/sub/same && chmod 700 tree/closed && chmod 1777 tree/sub && chmod 2750 tree
