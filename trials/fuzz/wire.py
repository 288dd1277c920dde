"""Answers as no server should write them: for each kind of oddity a function that draws one.

Each is given the right answer's body and another question's. What may be believed holds the right one; the other stands
where nothing may be believed: behind an answer, in one that is a refusal, that is cut, or larger than any may be.
"""

from __future__ import annotations

import base64
import gzip
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from .server import CLOSE, HANG, RESET, SHUT, Drip, Flood, Pause, Play, Step

SECRET = "zq-h/dden+w0rd="
PAIR = base64.b64encode(f"fuzz:{SECRET}".encode()).decode()
"""What shows the client, which each server knows and repeats."""

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Kind = Callable[[Random, bytes, bytes], Play]


def reply(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def chunked(body: bytes, size: int = 5, last: bytes = b"0\r\n\r\n") -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + last


def ends(draw: Random, close: float = 0.7) -> list[Step]:
    """What follows an answer that may be too short: waiting would cost an attempt's whole time."""
    return [draw.choice([CLOSE, CLOSE, RESET, SHUT])] if draw.random() < close else []


def word(draw: Random) -> bytes:
    """A text that a server may put anywhere."""
    return draw.choice(
        [
            b"", b"x", b" ", b"x" * draw.choice([50, 70_000]), SECRET.encode(), PAIR.encode(), b"\0", b"\x1b[31mRED",
            b"\xff\xfe", b"\xc3\xa9", b"%s %d {0} {x!r}", b"'\"`$(id)", b"\t\x0b\x0c\x1c\x85", b"<script>",
            b"\xe2\x80\xae", b"a\rb",
            b"a\nb", b"\r", bytes(draw.randrange(256) for _ in range(draw.randrange(1, 30))),
        ]
    )  # fmt: skip


def header(draw: Random, size: int) -> bytes:
    """A header that changes nothing of what the answer says, or one that spoils it."""
    names = [
        b"X-Odd", b"Set-Cookie", b"Connection", b"Keep-Alive", b"Date", b"Content-Type", b"Trailer", b"Upgrade",
        b"WWW-Authenticate", b"Location", b"Retry-After", b"Link", b"", b" X", b"X ", b"X\0Y", b"\xff", b"X Y",
        b"Content-Encoding", b"Proxy-Authenticate", b"Strict-Transport-Security", b"Refresh", b"TE",
    ]  # fmt: skip
    values = [
        word(draw), b"close", b"keep-alive", b"timeout=-1, max=0", b"upgrade", b"application/xml; charset=utf-7",
        b"Digest realm=" + word(draw), b"Mon, 99 Foo 2026", b"text/html; charset=\xff", b"a=b; Max-Age=9e999", b"5",
        b"multipart/mixed; boundary=x", b"chunked, chunked", b"identity", b"message/rfc822",
    ]  # fmt: skip
    oddities = [
        b"no colon", b":", b" folded " + word(draw), b"\tfolded", b"Content-Length : %d" % size, b"\0", b"X: \0",
        b"Content-Length: %d" % size, b"content-length: %d" % (size + 1), b"Content-Length:%d " % size,
        b"Content-Length: 0x%x" % size, b"Content-Length: -%d" % size, b"Content-Length: +%d" % size,
        b"Content-Length: %d, %d" % (size, size), b"Content-Length: " + b"9" * 400, b"Content-Length: ",
        b"Content-Length: 0%d" % size, b"Content-Length: %d.0" % size, b"Content-Length: 1_0", b"Content-Length: \xb2",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding:", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\r\n identity",
        b"Transfer_Encoding: chunked", b"Transfer-Encoding: xchunked", b"HTTP/1.1 200 OK", b"",
    ]  # fmt: skip
    if draw.random() < 0.5:
        return draw.choice(oddities)
    return draw.choice(names) + draw.choice([b": ", b":", b":  ", b" : ", b"\t:"]) + draw.choice(values)


# -- kinds -----------------------------------------------------------------------------------------


def statuses(draw: Random, body: bytes, other: bytes) -> Play:
    if draw.random() < 0.4:
        line = draw.choice(
            [
                draw.choice([b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2", b"HTTP/2.0", b"HTTP/3", b"http/1.1",
                             b"HTTP", b"HTTP/", b"HTTP/1.", b"HTTP/11", b"HTTP/1.1.1", b"ICY", b"HTTP/-1", b"HTTP/1e1",
                             b"SIP/2.0", b"\xefHTTP/1.1"]) + b" 200 OK",
                b"HTTP/1.1 " + draw.choice([b"2OO", b"+200", b"2_00", b"0200", b"20\0", b"\xb2\xb0\xb0", b"0x200",
                                            b"2e2", b"1" * 5000, b"200.0", b"-1", b""]) + b" OK",
                draw.choice([b"", b"\r\n", b"\n", b"\0"]) + b"HTTP/1.1 200 OK",
                word(draw),
            ]
        )  # fmt: skip
        content = body
    else:
        odd = [
            0,
            1,
            99,
            199,
            200,
            203,
            204,
            205,
            206,
            226,
            299,
            300,
            304,
            399,
            418,
            451,
            520,
            599,
            600,
            999,
            1000,
            -200,
        ]
        number = draw.choice([draw.randrange(100, 1000), draw.choice(odd)])
        line = draw.choice(
            [
                b"HTTP/1.1 %d" % number,
                b"HTTP/1.1 %d " % number + word(draw),
                b"HTTP/1.1  %d OK" % number,
                b"HTTP/1.1\t%d OK" % number,
                b"HTTP/1.0 %d OK" % number,
            ]
        )
        content = draw.choice([b"", other]) if number in (204, 304) else body if 200 <= number < 300 else other
    end = draw.choice([b"\r\n", b"\r\n", b"\n", b"\r"])
    return [end.join([line, b"Content-Length: %d" % len(content), b"", content]), *ends(draw, 0.5)]


def headers(draw: Random, body: bytes, other: bytes) -> Play:
    lines = [header(draw, len(body)) for _ in range(draw.choice([1, 1, 2, 3, 10]))]
    crowd = draw.choice([0] * 12 + [99, 100, 101, 500, 5000])
    lines += [b"X-%d: %s" % (number, b"y" * draw.choice([0, 0, 600])) for number in range(crowd)]
    if draw.random() < 0.7:
        lines.insert(draw.randrange(len(lines) + 1), b"Content-Length: %d" % len(body))
    if draw.random() < 0.1:
        lines.append(b"X: " + b"x" * draw.choice([8_000, 65_500, 65_536, 70_000, 1_000_000]))
    end = draw.choice([b"\r\n"] * 6 + [b"\n", b"\r"])
    head = end.join([b"HTTP/1.1 200 OK", *lines, b"", b""])
    return [head + body, *ends(draw)]


def chunks(draw: Random, body: bytes, other: bytes) -> Play:
    size = b"%x" % len(body)
    odd_size = draw.choice(
        [
            size.upper(), b"0x" + size, b"+" + size, b"-" + size, b"-1", b" " + size, size + b" ", size + b"\t", b"",
            b"0" * 30 + size, b"0" * 70_000 + size, size + b";x=" + word(draw), size + b";" + b"x" * 60_000,
            b"f" * 8, b"f" * 16, b"f" * 400, b"g", word(draw), b"1_0", b"%x" % (len(body) + 1), b"7fffffffffffffff",
            b"%x" % max(0, len(body) - 1), size + b".0", b"\xb2", size + b"\r", size + b"\n", b"\0" + size,
        ]
    )  # fmt: skip
    last = draw.choice(
        [
            b"0\r\n\r\n", b"0\r\n", b"0", b"", b"00000\r\n\r\n", b"0;x\r\n\r\n", b"-0\r\n\r\n", b"+0\r\n\r\n", b"\r\n",
            b"0\r\nX-Trailer: x\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nno colon\r\n\r\n",
            b"0\r\n" + b"X: x\r\n" * 5000 + b"\r\n", b"0\r\n" + word(draw) + b"\r\n\r\n", b"0\r\n\r\n" + reply(other),
            b"0\n\n", b"0\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        ]
    )  # fmt: skip
    if draw.random() < 0.15:
        endless = [b"1\r\n \r\n", b"0", b"1;" + b"x" * 60_000 + b"\r\n \r\n", b"ffff\r\n" + b" " * 65_535 + b"\r\n"]
        return [CHUNKED, Flood(draw.choice(endless)), CLOSE]
    if draw.random() < 0.1:
        return [CHUNKED + b"0\r\n", Flood(b"X: x\r\n"), CLOSE]
    if draw.random() < 0.3:
        return [chunked(body, draw.choice([1, 3, 7, 1000]), last), *ends(draw)]
    between = draw.choice([b"\r\n"] * 4 + [b"", b"\n", b"xx", b"\r\n\r\n"])
    head = draw.choice([CHUNKED] * 4 + [CHUNKED.replace(b"chunked", draw.choice([b"CHUNKED", b"chunked ", b"chunked,",
        b"chunked;q=1", b'"chunked"', b"chunked, gzip", b"x, chunked", b"chun\x00ked"]))])  # fmt: skip
    if draw.random() < 0.2:
        head = head[:-2] + b"Content-Length: %d\r\n\r\n" % draw.choice([0, 1, len(body), 10**9])
    return [head + odd_size + b"\r\n" + body + between + last, *ends(draw)]


def lengths(draw: Random, body: bytes, other: bytes) -> Play:
    if draw.random() < 0.2:
        return [cut(draw, other), draw.choice([CLOSE, CLOSE, CLOSE, RESET, SHUT, HANG])]
    size = len(body)
    told = draw.choice(
        [
            b"%d" % max(0, size + draw.choice([-size, -5, -1, 1, 5, 1000])), b"0", b"-1", b"-%d" % size, b"+%d" % size,
            b"%d" % 10**9, b"%d" % 10**18, b"%d" % 2**63, b"%d" % 2**64, b"9" * 5000, b"1e3", b"0x10", b"", b" ",
            b"1048576", b"1048577", b"16777217", b"%d %d" % (size, size), b"%d;" % size, b"%d\0" % size, b"\xd9\xa3",
        ]
    )  # fmt: skip
    pad = draw.choice([b"", b"", b"", b" " * 1000, b" " * 1_048_576, b"\0", b"x"])
    lines = [b"Content-Length: " + told]
    if draw.random() < 0.3:
        lines.insert(draw.randrange(2), b"Content-Length: " + draw.choice([told, b"%d" % size, b"5"]))
    behind = draw.choice([b"", b"", b"", reply(other), b"x", b"\r\n"])
    flood = [Flood(b" ")] if draw.random() < 0.05 else []
    return [b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body + pad + behind]), *flood, *ends(draw)]


def cut(draw: Random, body: bytes) -> bytes:
    """All of the JSON, but not all of the answer; or its length is told twice."""
    told, more = b"Content-Length: %d" % len(body), draw.choice([1, 2, 5, 1000, 100_000])
    longer = b"Content-Length: %d" % (len(body) + more)
    lines = draw.choice([[longer], [longer], [longer], [told, longer], [longer, told]])
    return draw.choice([b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body])] * 4 + [chunked(body, 7, b"")])


def well(draw: Random, body: bytes) -> Play:
    """The right answer, written as a server may write it."""
    size, pause = b"Content-Length: %d" % len(body), Pause(0.001)
    packed = {b"gzip": gzip.compress(body, mtime=0), b"deflate": zlib.compress(body), b"identity": body}
    coding = draw.choice(list(packed))
    lines = [b"100 Continue", b"102 Processing", b"103 Early Hints", b"103", b"199 X"]
    more = [b"", b"Link: </x>; rel=preload\r\nX: y\r\n", b"Date: x\r\n"]
    count = draw.choice([0, 0, 1, 1, 2, 50])
    interim = [b"HTTP/1.1 %s\r\n%s\r\n" % (draw.choice(lines), draw.choice(more)) for _ in range(count)]
    ended = draw.choice([b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
    parts = [b"%X;x=y\r\n%s\r\n" % (len(part), part) for part in (body[:20], body[20:])]
    final, *end = draw.choice(
        [
            [reply(body)], [reply(b" " * 100_000 + body + b"\r\n")], [reply(body, b"200 "), pause],
            [b"HTTP/1.1 200 OK\r\n" + size.lower().replace(b" ", b"") + b" \r\n\r\n" + body],
            [reply(body, b"200 OK", *[b"X-%d: %s" % (number, b"y" * 200) for number in range(80)])],
            [chunked(body, draw.choice([1, 7, 10_000]))], [chunked(body, 9, b"000\r\nX-Trailer: x\r\n\r\n")],
            [CHUNKED.replace(b"chunked", b"Chunked") + b"".join(parts) + b"0;x\r\n\r\n"],
            [reply(packed[coding], b"200 OK", b"Content-Encoding: " + coding)],
            [ended + b"\r\n" + body, CLOSE], [ended + size + b"\r\n\r\n" + body, CLOSE],
        ]
    )  # fmt: skip
    at = draw.choice([0, 0, 9, draw.randrange(len(final))])
    between: list[Step] = draw.choice([[], [pause]])
    return [b"".join(interim), *between, final[:at], pause, final[at:], *end]


NOTHING = bytes(1 << 20)


@lru_cache
def bomb(coding: str, mebibytes: int) -> bytes:
    """So much of nothing, packed, without ever holding it; made of one part, as a case would not wait for more."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    part = packer.compress(NOTHING) + packer.flush(zlib.Z_FULL_FLUSH)
    raw = part * mebibytes + packer.flush()
    if coding == "raw":
        return raw
    check = zlib.crc32 if coding == "gzip" else zlib.adler32
    told = check(b"")
    for _ in range(mebibytes):
        told = check(NOTHING, told)
    if coding == "gzip":
        return gzip.compress(b"", mtime=0)[:10] + raw + struct.pack("<LL", told, mebibytes << 20)
    return b"\x78\x9c" + raw + struct.pack(">L", told)


LARGEST = 16 * 1024 * 1024
"""Bytes of the largest answer that any question may have."""


@lru_cache
def blanks(bits: int) -> tuple[bytes, Any]:
    """So many, packed, and the packer."""
    packer = zlib.compressobj(1, zlib.DEFLATED, bits)
    return b"".join(packer.compress(b" " * 65_536) for _ in range(LARGEST // 65_536)), packer


def vast(draw: Random, body: bytes) -> list[Step]:
    """An answer that is larger, as it is or when it is unpacked."""
    coding, bits = draw.choice([(b"gzip", 31), (b"deflate", 15), (b"deflate", -15), (b"identity", 0)])
    if bits:
        packed, packer = blanks(bits)
        packer = packer.copy()
        return [reply(packed + packer.compress(body) + packer.flush(), b"200 OK", b"Content-Encoding: " + coding)]
    parts = LARGEST // 65_536
    if draw.random() < 0.5:
        return [OK + b"Content-Length: %d\r\n\r\n" % (LARGEST + len(body)), *[b" " * 65_536] * parts, body]
    return [CHUNKED, *[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * parts, chunked(body, 99).removeprefix(CHUNKED)]


def make_ready() -> None:
    """What takes long to pack, before a client waits for it."""
    for coding in ("gzip", "deflate", "raw"):
        bomb(coding, 200)
    bomb("gzip", 16)
    for bits in (31, 15, -15):
        blanks(bits)


def codings(draw: Random, body: bytes, other: bytes) -> Play:
    kind = draw.random()  # few: two at once, of a client that has given the first one up, come near to the limit
    if kind < 0.05:
        return [*vast(draw, other), *ends(draw, 0.3)]
    if kind < 0.1:
        return [reply(bomb("gzip", 200), b"200 OK", b"Content-Encoding: gzip"), *ends(draw, 0.3)]
    packed = gzip.compress(body, mtime=0)
    at = draw.randrange(len(packed))
    make: Callable[[], bytes] = draw.choice(
        [
            lambda: packed, lambda: packed[:at], lambda: packed + word(draw), lambda: packed + packed, lambda: body,
            lambda: packed[:at] + b"\xff" + packed[at + 1 :], lambda: zlib.compress(body), lambda: b"\x1f\x8b",
            lambda: zlib.compress(body)[2:-4], lambda: gzip.compress(packed, mtime=0), lambda: b"",
            lambda: bomb("gzip", 200), lambda: bomb("deflate", 200), lambda: bomb("raw", 200),
            lambda: gzip.compress(bomb("gzip", 200), mtime=0), lambda: gzip.compress(b"", mtime=0) * 20_000,
            lambda: zlib.compress(b" " * (1 << 20) + body), lambda: bomb("gzip", 16) + packed,
            lambda: gzip.compress(b" " * 1_048_000 + body, mtime=0),
        ]
    )  # fmt: skip
    content = make()
    coding = draw.choice(
        [
            b"gzip", b"gzip", b"GZip", b"x-gzip", b"deflate", b"br", b"zstd", b"compress", b"gzip, gzip", b"gzip,br",
            b"identity", b"", b"none", b" gzip ", b"gzip;q=1", b"aws-chunked", word(draw).replace(b"\n", b""),
        ]
    )  # fmt: skip
    more = [b"Content-Encoding: gzip"] if draw.random() < 0.1 else []
    answer = reply(content, b"200 OK", b"Content-Encoding: " + coding, *more)
    if draw.random() < 0.3:
        answer = chunked(content, 65_536).replace(b"\r\n", b"\r\nContent-Encoding: " + coding + b"\r\n", 1)
    return [answer, *ends(draw, 0.3)]


def interim(draw: Random, body: bytes, other: bytes) -> Play:
    number = draw.choice([100, 100, 101, 102, 103, 103, 110, 150, 199])
    one = b"HTTP/1.1 %d %s\r\n" % (number, draw.choice([b"Continue", b"", b"x" * 100]))
    one += b"".join(
        draw.choice([b"Link: </x>; rel=preload\r\n", b"Content-Length: 5\r\n", b"X: x\r\n", b"no colon\r\n",
                     b"Transfer-Encoding: chunked\r\n", b"X: " + b"x" * 9000 + b"\r\n", b"Connection: close\r\n"])
        for _ in range(draw.choice([0, 1, 1, 3, 30]))
    )  # fmt: skip
    one += b"\r\n"
    if draw.random() < 0.15:
        return [Flood(one), CLOSE]
    several = one * min(draw.choice([1, 1, 1, 2, 5, 50, 200, 5000]), 1 + 200_000 // len(one))
    final = draw.choice([reply(body)] * 4 + [chunked(body), b"", reply(body)[:-3], one])
    between: list[Step] = draw.choice([[], [], [Pause(0.01)]])
    return [several, *between, final, *ends(draw, 0.6)]


def redirects(draw: Random, body: bytes, other: bytes) -> Play:
    status = draw.choice([b"301", b"302", b"307", b"308", b"308", b"307", b"303", b"300", b"304", b"305", b"306"])
    place = draw.choice(
        [
            b"@PATH@", b"@HERE@@PATH@", b"@AWAY@@PATH@", b"@AWAY@@PATH@", b"@HERE@/", b"/", b"", b" ", b".", b"..",
            b"//", b"///", b"?", b"#", b"x" * 70_000, b"/" + b"a/" * 20_000, b"ftp://127.0.0.1/x", b"file:///etc/passwd",
            b"javascript:alert(1)", b"data:,x", b"https://127.0.0.1:1/x", b"http://127.0.0.1:1/x", b"http://",
            b"http:///x", b"http://127.0.0.1:0/x", b"http://127.0.0.1:99999/x", b"http://127.0.0.1:-1/x",
            b"http://127.0.0.1:x/", b"http://[::1", b"http://[::1]:1/", b"http://[x]/", b"http://user:pw@127.0.0.1:1/x",
            b"http://@/", b"http://127.0.0.1:1@/", b"http:127.0.0.1", b"//127.0.0.1:1/x",
            b"HTTP://127.0.0.1:1/X", b"http://127.1:1/", b"http://0x7f.1:1/", b"http://127.0.0.1:1/\x00", b"/\xff",
            b"/%ff%00%zz", b"/@PATH@/../..", b"http://169.254.169.254/latest", b"http://2852039166/x", b"gopher://x",
            b"unix:/run/x", b"http://" + b"a" * 300 + b"/", b"http://.../", b"mailto:x", b"/\xe2\x80\xae",
            b"@HERE@@PATH@?q=" + SECRET.encode(), b"@HERE@@PATH@#" + SECRET.encode(), word(draw).strip(b"\r\n"),
            b"@HERE@@PATH@\r\nLocation: @AWAY@@PATH@", b"@HERE@@PATH@\r\n folded", b"http://127.0.0.1:1/\t/x",
        ]
    )  # fmt: skip
    lines = [b"Location: " + place] if draw.random() < 0.95 else []
    content = draw.choice([b"", other, b"<a>", b" " * 100_000])
    answer = reply(content, status + b" There", *lines)
    if draw.random() < 0.05:
        return [answer[: -len(content)] if content else answer, Flood(b"x"), CLOSE]
    return [answer, *ends(draw, 0.3)]


def refusals(draw: Random, body: bytes, other: bytes) -> Play:
    number = draw.choice([400, 401, 401, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413, 414, 415, 418, 422, 422, 425,
                          429, 431, 451, 500, 500, 501, 502, 503, 503, 504, 507, 511, 599])  # fmt: skip
    code = draw.choice([b"%d" % number, b"40401", b"40403", b"42201", b"42205", b"50001", b"50002", b"50003", b"50004",
                        b"0", b"-1", b"null", b"true", b'"50003"', b"[50003]", b"{}", b"50003.0", b"1e400", b"NaN",
                        b"9" * 4299, b"9" * 4301, b"2147483648"])  # fmt: skip
    said = draw.choice([b'"words"', b'"' + SECRET.encode() + b'"', b"null", b"5", b"[]", b"{}", b'"\\ud800"', b'""',
                        b'"' + b"x" * 100_000 + b'"', b'"\\u001b[31m\\r\\nFORGED"',
                        b'"register.arg4 must not be null (was null)"',
                        b'"Subject is in read-only mode; error code: 42205"',
                        b'"' + b"\\u202e" * 900 + b'"'])  # fmt: skip
    names = draw.choice([(b"error_code", b"message")] * 4 + [(b"Error_Code", b"Message"), (b"code", b"msg"),
                                                              (b"error_code", b"error_code")])  # fmt: skip
    content = draw.choice(
        [b'{"%s":%s,"%s":%s}' % (names[0], code, names[1], said)] * 6
        + [other, b"<html>" + word(draw), b"", word(draw), b"[" * 50_000,
           b'{"error":"x","error_description":%s}' % said]
    )  # fmt: skip
    after = draw.choice([b"0", b"1", b"-1", b"x", b"", b"1.5", b"9" * 400, b"Wed, 21 Oct 2015 07:28:00 GMT", b"\xb2",
                         b"Fri, 31 Dec 9999 23:59:59 GMT", b"Mon, 99 Foo 0 0:0:0 +9999", b"86400"])  # fmt: skip
    more = [b"Retry-After: " + after] if draw.random() < 0.3 else []
    more += [draw.choice([b"WWW-Authenticate: Basic realm=x", b"WWW-Authenticate: Bearer error=" + word(draw)[:100]
                          .replace(b"\r", b"").replace(b"\n", b"")])] if draw.random() < 0.2 else []  # fmt: skip
    return [reply(content, b"%d %s" % (number, word(draw)[:1000].replace(b"\r", b"").replace(b"\n", b"")), *more),
            *ends(draw, 0.2)]  # fmt: skip


def breaks(draw: Random, body: bytes, other: bytes) -> Play:
    whole = draw.choice([reply(body), chunked(body), reply(body).replace(b"Content-Length", b"X")])
    at = draw.choice([0, 0, 1, 8, whole.index(b"\r\n\r\n"), len(whole) - 1, len(whole), draw.randrange(len(whole) + 1)])
    pause: list[Step] = draw.choice([[], [], [Pause(0.005)]])
    return [whole[:at], *pause, draw.choice([CLOSE, RESET, RESET, SHUT, HANG])]


def drips(draw: Random, body: bytes, other: bytes) -> Play:
    whole = draw.choice([reply(body), chunked(body, 3), reply(body, b"500 Oh"), gzipped(body)])
    stages = [0, 9, 17, whole.index(b"\r\n\r\n") - 3, whole.index(b"\r\n\r\n") + 4]
    at = draw.choice([*stages, draw.randrange(len(whole))])
    upto = draw.choice([at + 5, at + 20, len(whole)])
    slow = Drip(whole[at:upto], draw.choice([0.001, 0.01, 0.05, 0.15]))
    rest: list[Step] = [whole[upto:]] if draw.random() < 0.8 else [HANG]
    return [whole[:at], slow, *rest]


def gzipped(body: bytes) -> bytes:
    return reply(gzip.compress(body, mtime=0), b"200 OK", b"Content-Encoding: gzip")


def mutations(draw: Random, body: bytes, other: bytes) -> Play:
    """Bytes of a good answer's head and framing changed; not of its body, where they would be the registry's."""
    whole = draw.choice([reply(body), gzipped(body), reply(body, b"307 T", b"Location: @PATH@"),
                         reply(b'{"error_code":50003,"message":"no"}', b"500 E")])  # fmt: skip
    head, rest = whole.split(b"\r\n\r\n", 1)
    pieces = [head + b"\r\n\r\n", rest]
    if draw.random() < 0.4:  # every other piece may change
        pieces = [CHUNKED]
        for at in range(0, len(body), 40):
            part = body[at : at + 40]
            pieces[-1] += b"%x\r\n" % len(part)
            pieces += [part, b"\r\n"]
        pieces[-1] += b"0\r\n\r\n"
    for _ in range(draw.choice([1, 1, 2, 4, 8])):
        which = draw.randrange(0, len(pieces), 2)
        pieces[which] = changed(draw, bytearray(pieces[which]))
    return [b"".join(pieces), *ends(draw)]


def changed(draw: Random, data: bytearray) -> bytes:
    at = draw.randrange(len(data) or 1)
    match draw.randrange(5):
        case 0:
            data[at : at + 1] = bytes([draw.choice(b"\0\r\n \t:;,-+\"'%\x7f\xff\x80xX059")])
        case 1:
            data[at : at + 1] = bytes([byte ^ 1 << draw.randrange(8) for byte in data[at : at + 1]])
        case 2:
            del data[at : at + draw.choice([1, 2, 9])]
        case 3:
            data[at:at] = data[at : at + draw.choice([1, 4, 20])]
        case _:
            data[at:at] = draw.choice([b"\r\n", b"\0", b"X: y\r\n", b"chunked", b"0\r\n\r\n"])
    return bytes(data)


KINDS: dict[str, Kind] = {
    "statuses": statuses,
    "headers": headers,
    "chunks": chunks,
    "lengths": lengths,
    "codings": codings,
    "interim": interim,
    "redirects": redirects,
    "refusals": refusals,
    "breaks": breaks,
    "drips": drips,
    "mutations": mutations,
}
