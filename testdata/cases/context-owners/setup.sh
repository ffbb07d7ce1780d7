chown -R 1234:1234 other
chmod 751 other/d
