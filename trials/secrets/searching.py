"""Finds a word, however it is written. It knows nothing of the package's own masking."""

from __future__ import annotations

import base64
import re


class Word:
    """A mark of letters and digits: quoting for URLs, HTML and JSON leaves it as it is.

    Base64, in each alignment, and line breaks do not: these forms are made here.
    """

    def __init__(self, *marks: str) -> None:
        plain = {mark.lower() for mark in marks}
        encoded = {form for mark in marks for form in _in_base64(mark)}
        self._plain = re.compile("|".join(map(re.escape, sorted(plain))))
        self._encoded = re.compile("|".join(map(re.escape, sorted(encoded))))

    def form_in(self, text: str) -> str:
        """How it stands in a text, empty where it does not."""
        for name, read in (("", text), (", with line breaks", _BREAKS.sub("", text))):
            if self._plain.search(read.lower()):
                return "as it is" + name
            if self._encoded.search(read):
                return "in base64" + name
        return ""


_BREAKS = re.compile(r"\s+|\\[rnt]|%0[da]|=\r?\n", re.IGNORECASE)
"""Line breaks and blanks, as they are, in a ``repr`` and in a URL."""


def _in_base64(mark: str) -> set[str]:
    """The characters that are the same whatever stands before and behind it, for each alignment."""
    found = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + mark.encode()).decode().rstrip("=")
        bits = 8 * (before + len(mark))
        whole = encoded[-(-8 * before // 6) : bits // 6]
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found
