#!/bin/sh
# A checkout keeps no times.
touch -d '1980-01-02T03:04:05.678901234Z' tree/one && touch -d '1971-01-01T00:00:00Z' a.txt
touch -d '2001-09-09T01:46:40.5Z' tree/sub/two && touch -d '1999-12-31T23:59:59Z' tree/sub
