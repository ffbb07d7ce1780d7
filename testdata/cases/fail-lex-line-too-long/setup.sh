#!/bin/sh
awk 'BEGIN { printf "RUN : "; for (i = 0; i < 65540; i++) printf "x"; printf "\n" }' >> Dockerfile
