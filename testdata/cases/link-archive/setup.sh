mkdir d
echo 1 > d/f
chmod 750 d
tar --owner=5 --group=6 -cf a.tar d
rm -r d
