#!/bin/sh
# nail [N]: the proverb, and its N most frequent words of four letters or more.
cat /usr/share/nail/proverb.txt
echo
head -n "${1:-8}" /usr/share/nail/chart.txt
