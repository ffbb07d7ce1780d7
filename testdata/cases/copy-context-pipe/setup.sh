#!/bin/sh
# Git keeps no pipes.
mkfifo -m 640 tree/pipe
