"""JSON as no registry should write it: odd as a text, and odd in what it holds."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from .questions import text
from .schemas import hostile_text
from .wire import PAIR, SECRET

NUMBERS: list[Any] = [0, -1, 1, 2, 1.0, 1.5, 2**31 - 1, 2**31, 2**63, -(2**63), 10**400, 1e308, float("nan"),
                      float("inf"), float("-inf"), True, False]  # fmt: skip
TEXTS = ["", "x", " ", ".", "..", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e", "\x1b[31m", "\r\nX: y",
    "x" * 20_000,
         SECRET, PAIR, "[" * 2000, "{}", "null", "AVRO", "JSON", "PROTOBUF", "class", "__import__", "a" * 99, "5",
         "00000000-0000-0000-0000-000000000000", "{00000000000000000000000000000000}", "urn:uuid:x", "\u0661",
         "\"int\"", "int", "../../x", "%2e%2e", "?a=b", "#", ":.x:s", "a/b", "é", "\U0001f600", "{0.__class__}",
         "%s"]  # fmt: skip


def nested(depth: int, key: str | None) -> Any:
    value: Any = 5
    for _ in range(depth):
        value = [value] if key is None else {key: value}
    return value


def rule(draw: Random, deep: int = 2) -> Any:
    names = ["name", "doc", "kind", "mode", "type", "tags", "params", "expr", "onSuccess", "onFailure", "disabled"]
    whole = {"name": "r", "kind": "CONDITION", "mode": draw.choice(["WRITE", "READ", "WRITEREAD", "UPGRADE"]),
             "type": "CEL", "expr": "true"}  # fmt: skip
    return {**whole, draw.choice(names): odd(draw, deep - 1)} if draw.random() < 0.8 else odd(draw, deep - 1)


def reference(draw: Random, deep: int = 2) -> Any:
    whole = {"name": "N", "subject": "x", "version": 1}
    return {**whole, draw.choice(list(whole)): odd(draw, deep - 1)} if draw.random() < 0.8 else odd(draw, deep - 1)


def odd(draw: Random, deep: int = 3) -> Any:
    """A value of any kind."""
    match draw.randrange(12 if deep > 0 else 7):
        case 0 | 1:
            return draw.choice(NUMBERS)
        case 2 | 3 | 4:
            return draw.choice(TEXTS)
        case 5:
            return None
        case 6:
            return draw.choice([[], {}, [None], [[]], [{}], {"": None}, {"a": 1}, [5], ["x"], ["x", "x"]])
        case 7:
            return nested(draw.choice([1, 63, 64, 65, 300, 900]), draw.choice([None, "a", "tags"]))
        case 8:
            return {draw.choice(["migrationRules", "domainRules", "encodingRules", "enableAt"]): draw.choice(
                [odd(draw, deep - 1), [rule(draw, deep - 1)], [rule(draw, deep - 1), rule(draw, deep - 1)],
                    {"0": rule(draw, deep - 1)}])}  # fmt: skip
        case 9:
            return {draw.choice(["tags", "properties", "sensitive"]): draw.choice(
                [odd(draw, deep - 1), {"a": odd(draw, deep - 1)}, [odd(draw, deep - 1)], {"a": ["PII"]},
                    {"a": "b"}])}  # fmt: skip
        case 10:
            return [reference(draw, deep - 1) for _ in range(draw.choice([1, 1, 2, 50]))]
        case _:
            return hostile_text(draw)


def no_ids(draw: Random, wrong: int) -> Any:
    """What is no id, although there is one in it."""
    return draw.choice([str(wrong), float(wrong), [wrong], {"id": wrong}, -wrong, wrong + 2**31, wrong * 10**9,
                        wrong + 0.5, f" {wrong}", f"0x{wrong:x}", None, True, False, 0, -1, 2**31, 10**400, [], {}, "",
                        float("nan")])  # fmt: skip


FIELDS = ["schema", "schemaType", "subject", "version", "guid", "references", "metadata", "ruleSet", "schemaTags", "ts",
          "deleted", "error_code", "message", "is_compatible", "mode", "compatibilityLevel", "compatibility",
          "compatibilityGroup",
          "defaultMetadata", "overrideMetadata", "defaultRuleSet", "overrideRuleSet", "resourceName", "frozen",
          "lifecycle"]  # fmt: skip


def references(draw: Random, content: dict[str, Any]) -> list[Any]:
    """That lead to a version that the same server will be asked for: to itself, and on and on, or many."""
    subject, version = content["subject"], content["version"]
    name = draw.choice(["N", f"R{content['id']}", ""])
    on = draw.choice([0, 0, 1, 7])
    return [
        {"name": name, "subject": subject, "version": version + on + each} for each in range(draw.choice([1, 1, 2, 30]))
    ]


def odd_content(draw: Random, content: Any, wrong: int) -> Any:
    """A right answer's content with something odd in it, but for the id that it tells."""
    if draw.random() < 0.1:
        return (
            odd(draw)
            if not isinstance(content, dict)
            else draw.choice([[content], None, 5, "x", [], {}, True, text(1)])
        )
    if isinstance(content, list):
        odder = [odd(draw) if draw.random() < 0.6 else odd_content(draw, content[0], wrong)]
        return draw.choice(
            [
                odder,
                content + odder,
                {"0": content},
                odder * draw.choice([1, 3, 3000] if len(repr(odder)) < 300 else [1, 3]),
            ]
        )
    if not isinstance(content, dict):
        return odd(draw)
    changed = dict(content)
    for name in draw.sample([*content, *FIELDS], draw.choice([1, 1, 2, 3])):
        if name == "id":
            changed[name] = no_ids(draw, wrong)
        elif draw.random() < 0.15:
            changed.pop(name, None)
        elif name == "references" and "subject" in content and "id" in content and draw.random() < 0.7:
            changed[name] = references(draw, content)
        elif name == "ruleSet" and draw.random() < 0.5:
            changed[name] = {"domainRules": [rule(draw)]}
        elif name == "schema" and draw.random() < 0.7:
            changed[name] = hostile_text(draw)
        else:
            changed[name] = odd(draw)
    return changed


def odd_text(draw: Random, content: Any, largest: int) -> bytes:
    """A right answer's JSON, oddly written."""
    plain = json.dumps(content)
    brackets = draw.choice(["[", "{", '{"a":', "[[],", "[{},", '["a",', '{"":0,', "0", '"', " ", "\\"])
    size = draw.choice([10, 1000, 100_000, largest - len(plain) - 2])
    deep = brackets * (size // len(brackets))
    return draw.choice(
        [
            plain.encode("utf-16"), plain.encode("utf-16-le"), plain.encode("utf-32"), plain.encode("utf-8-sig"),
            plain.encode() + b"x", plain.encode() + b"\0", plain.encode() + plain.encode(),
            plain.encode() + b"\n" * 1000,
            b"\xef\xbb\xbf\xef\xbb\xbf" + plain.encode(), b"\xff" + plain.encode(), plain.encode()[:-1],
            plain.encode()[1:],
            plain.replace('"', "'").encode(), f"// x\n{plain}".encode(), f"{plain};".encode(), f"({plain})".encode(),
            b"", b" ", b"null", b"true", b"NaN", b"-Infinity", b'"\\ud800"', b"nul", b"0" * 5000, b"1" * 5000, b"-",
            b"1e999999",
            deep.encode(), (deep + plain).encode(), (" " * size + plain).encode(), f'{{"a":{deep}'.encode(),
            ("[" * (size // 2) + "]" * (size // 2)).encode(), f"[{'[],' * (size // 3)}{plain}]".encode(),
            f"[{'0,' * (size // 2)}{plain}]".encode(), ('{"x":' * 900 + plain + "}" * 900).encode(),
            plain.replace("{", '{"a":0,"a":0,' * 1, 1).encode(), plain.replace("}", f',"x":{"9" * 4000}}}', 1).encode(),
            plain.replace("}", f',"x":{"9" * 5000}}}', 1).encode(), plain.replace("}", ',"x":"\\ud800\\u0000"}',
            1).encode(),
            plain.replace("}", ',"x":NaN,"y":Infinity}', 1).encode(), plain.replace(" ", "\x0b").encode(),
            plain.replace("}", f',"x":"{"y" * (size - 20)}"}}', 1).encode(), plain.upper().encode(),
            b"<html>" + plain.encode(),
            plain.replace("}", ',"x":' + "[" * 900 + "]" * 900 + "}", 1).encode(), plain.encode("latin-1") + b"\xe9",
            plain.replace("}", "," + ",".join(f'"{n}":{n}' for n in range(size // 12)) + "}", 1).encode(),
        ]
    )  # fmt: skip
