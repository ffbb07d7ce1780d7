#!/bin/sh
touch -d '1990-01-01T00:00:00Z' other/a.txt other/d/c
