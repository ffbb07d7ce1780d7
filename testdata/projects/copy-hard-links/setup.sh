#!/bin/sh
# Hard links are not kept by a checkout.
mkdir -p tree/sub && echo linked > tree/one && ln tree/one tree/two && ln tree/one tree/sub/three && echo other > tree/other
