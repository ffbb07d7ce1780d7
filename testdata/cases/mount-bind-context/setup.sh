chmod 700 dir
chmod 600 dir/x
touch -d @1600000000 dir/x
touch -d @1500000000 dir
touch -d @1400000000 a.txt
