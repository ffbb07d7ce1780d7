#!/bin/sh
# Made here: not every file system and checkout takes such names.
mkdir names && cd names || exit 1
for name in 'ünïcödé.txt' '--dash' '#hash' '$dollar' '[1].txt' 1.txt ' leading and trailing ' 'semi;colon&pipe|star*' \
    'back\slash' '..double' '~tilde' "$(printf 'e\314\201clair.txt')"; do
    printf '%s\n' "$name" > "./$name"
done
mkdir 日本語 && echo 'three scripts' > 日本語/ファイル
echo quote > "../quote'.txt"
