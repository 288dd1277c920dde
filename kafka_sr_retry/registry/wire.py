"""Reads one HTTP answer whole, within bounds of bytes, and says whether its connection may serve again.

http.client bounds a line and a number of headers, not an answer: interim answers, chunk extensions and trailers may
follow without end, and a chunk of -1 bytes is read to the connection's end.
"""

from __future__ import annotations

import http.client
import io
import zlib
from typing import Any

LARGEST_HEAD = 64 * 1024
"""Bytes of an answer's head at most, interim answers included."""

OWS = " \t"
"""What may stand around a header's value (RFC 9110 section 5.6.3). http.client keeps what stands behind it."""

_AHEAD = 8 * 1024
"""Bytes read ahead at most: they count for the head. Python's own number is twice a head's most from 3.14 on."""

_STEP = 64 * 1024


class Malformed(http.client.HTTPException):
    """An answer that is not framed as HTTP has it, or larger than it may be."""


class _Counted(io.RawIOBase):
    """A socket's bytes, up to ``most``; none once it is paused."""

    def __init__(self, raw: io.RawIOBase, most: int) -> None:
        self._raw = raw
        self.most = most
        self.paused = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.paused:
            return None
        count: int | None = self._raw.readinto(buffer)
        self.most -= count or 0
        if self.most < 0:
            raise Malformed("an answer that does not end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """Notes when it is closed whether it held bytes that nobody had read."""

    def __init__(self, counted: _Counted) -> None:
        super().__init__(counted, _AHEAD)
        self.counted = counted
        self.left_over = False

    def close(self) -> None:
        if not self.closed:
            self.counted.paused = True
            self.left_over = bool(self.peek(1))
        super().close()


class Response(http.client.HTTPResponse):
    """Reads on over interim answers (1xx, RFC 9110 section 15.2). http.client skips 100 alone and takes another for the
    whole answer; the real one would then answer the connection's next request."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _Reader(_Counted(self.fp.detach(), LARGEST_HEAD))
        self.fp = self._reader

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.BadStatusLine("101, to a request for no other protocol")
            if status == http.client.CONTINUE or not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)

    def begin(self) -> None:
        super().begin()
        if self.msg.defects or self.msg.get_payload():  # a bare return has ended them; urllib3 would log the rest
            raise Malformed("headers that cannot be read")
        lengths = [length.strip(OWS) for length in self.msg.get_all("Content-Length", [])]
        codings = self.msg.get_all("Transfer-Encoding", [])
        if len({*lengths}) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            raise Malformed("a Content-Length that is no number")
        if codings and not (self.chunked and len(codings) == 1):
            raise Malformed("a Transfer-Encoding other than chunked")
        self._clear = len(lengths) + len(codings) == 1

    @property
    def reusable(self) -> bool:
        """Whether the answer came whole and beyond doubt, and nothing behind it."""
        return (
            self._clear
            and self.version == 11
            and not self.will_close
            and self.status not in (204, 304)
            and self.isclosed()
            and not self._reader.left_over
        )

    def whole(self, largest: int) -> bytes:
        """The body, decoded.

        Raises:
            Malformed: more than ``largest`` bytes, or what cannot be decoded.
            IncompleteRead: the connection ended before the body did.
        """
        too_large = Malformed(f"an answer of more than {largest} bytes")
        if (self.length or 0) > largest:
            raise too_large
        self._reader.counted.most = LARGEST_HEAD + 2 * largest  # with the chunks' sizes
        body = bytearray()
        while part := self.read(_STEP):
            body += part
            if len(body) > largest:
                raise too_large
        if self.length:
            raise http.client.IncompleteRead(bytes(body), self.length)
        coding = self.getheader("Content-Encoding", "identity").strip().lower()
        if not body or coding == "identity":
            return bytes(body)
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise Malformed("a Content-Encoding that was not asked for")
        inflate = zlib.decompressobj(32 + zlib.MAX_WBITS)
        try:
            content = inflate.decompress(body, largest + 1)
        except zlib.error:
            raise Malformed("a Content-Encoding that cannot be read") from None
        if len(content) > largest:
            raise too_large
        if not inflate.eof or inflate.unused_data:
            raise Malformed("a Content-Encoding that does not end with the body")
        return content
