#!/bin/sh
mv Dockerfile dockerfile
