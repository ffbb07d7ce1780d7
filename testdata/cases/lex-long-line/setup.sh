#!/bin/sh
awk 'BEGIN { printf "RUN : "; for (i = 0; i < 65520; i++) printf "x"; printf " > /long\n" }' >> Dockerfile
