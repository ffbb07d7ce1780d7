import sys

from itsdangerous import Signer
from markupsafe import escape

if "--check" in sys.argv:
    print(Signer("key").sign(str(escape("<ok>"))).decode())
