import unittest

from app.greeting import greet


class GreetingTest(unittest.TestCase):
    def test_greets(self) -> None:
        self.assertEqual("hello, world", greet("world"))
