mkdir made
echo x > made/f
tar -czf a.tar.gz -C made f
rm -r made
