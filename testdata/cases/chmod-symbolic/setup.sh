chmod 600 tree/one.txt
chmod 700 tree/sub tree/sub/two.txt
