"""What both sides of the word count compute."""

import string


def split(text: str) -> list[str]:
    words = (word.strip(string.punctuation).lower() for word in text.split())
    return [word for word in words if word]


def partition(word: str) -> str:
    return word[0] if word[0] in string.ascii_lowercase else "!"


def count(word: str, totals: dict) -> tuple:
    total = totals.get(word, 0) + 1
    totals[word] = total
    return word, total


def encode(result: tuple) -> str:
    return f"{result[0]} => {result[1]}"
