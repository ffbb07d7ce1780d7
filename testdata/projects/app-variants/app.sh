#!/bin/sh
echo "level $LOG_LEVEL"
