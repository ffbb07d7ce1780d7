#!/bin/sh
set -e
[ "$1" = start ] && set -- /opt/app/bin/start
exec "$@"
