#!/bin/sh
# A checkout keeps no times.
touch -d '1980-01-02T03:04:05.5Z' tree/one tree/sub/two tree/sub
