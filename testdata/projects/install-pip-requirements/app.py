import idna
import six

print(six.text_type(idna.encode("bücher.example").decode()))
