#!/bin/sh
# Line ends of the checkout do not matter: make them CRLF here.
awk '{ sub(/\r$/, ""); printf "%s\r\n", $0 }' .dockerignore > converted && mv converted .dockerignore
