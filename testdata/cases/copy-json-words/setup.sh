#!/bin/sh
mv '[not]' n
