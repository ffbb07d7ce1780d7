import bottle

print(bottle.__version__, open("index.html").read().strip())
