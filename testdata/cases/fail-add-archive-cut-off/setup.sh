i=0; while [ $i -lt 4000 ]; do echo "line $i $((i * 7919 % 10007)) of a text"; i=$((i + 1)); done > text
tar -cf - text | gzip -n | head -c 12000 > t.tar.gz
rm text
