#!/bin/sh
# Large and many: made here.
printf start > holes && printf end | dd of=holes bs=1 seek=6000000 conv=notrunc 2> /dev/null
dd if=/dev/zero of=zeros bs=65536 count=48 2> /dev/null
for directory in 1 2 3 4 5; do
    mkdir -p many/$directory
    for file in $(seq 80); do echo "$directory $file" > many/$directory/$file; done
done
