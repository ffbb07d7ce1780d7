#!/bin/sh
# Made here to keep such names out of the repository.
word=abcdefghij long=$word$word$word$word$word$word$word$word$word
mkdir -p tree/$long/$long/$long/$long
echo 90 > tree/$long/file && echo 100 > tree/${long}$word && echo 101 > tree/${long}${word}k
echo deep > tree/$long/$long/$long/$long/file && echo 255 > tree/$long$long${word}$word${word}${word}${word}abcde$word${word}
ln -s $long/$long/$long/$long/file tree/long-target && ln tree/$long/$long/$long/$long/file tree/hard
printf 'x\n' > "tree/ü${long}üüüüüü"
