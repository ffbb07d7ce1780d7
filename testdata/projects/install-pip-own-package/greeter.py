import six


def main() -> None:
    print("hello" if six.PY3 else "no")
