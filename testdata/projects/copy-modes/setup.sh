#!/bin/sh
# Modes that a checkout does not keep.
mkdir -p tree/sticky tree/setgid tree/closed tree/open
for file in setuid setgid-file none all read exec; do echo $file > tree/$file; done
chmod 4755 tree/setuid && chmod 2755 tree/setgid-file && chmod 0 tree/none && chmod 777 tree/all
chmod 444 tree/read && chmod 711 tree/exec
chmod 1777 tree/sticky && chmod 2775 tree/setgid && chmod 700 tree/closed && chmod 777 tree/open
