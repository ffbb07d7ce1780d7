#!/bin/sh
awk '{ sub(/\r$/, ""); printf "%s\r\n", $0 }' Dockerfile > converted && mv converted Dockerfile
