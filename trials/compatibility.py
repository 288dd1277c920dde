"""Do our rules of compatibility agree with those that registries run?

    python -m trials.compatibility [--pairs 500] [--seed 1] [--url http://.../apis/ccompat/v7] [--jars FOLDER]

Draws histories of two versions and a new schema, which is the last with some changes that people make. Each is judged
by our own module and by

* a real registry, under all seven levels: the new schema is registered, and is taken or refused with 409. Without
  ``--url`` an Apicurio is started, as the integration tests do;
* Java's own ``SchemaCompatibility``, in both directions: each finding's rule and words, and its place from Avro 1.12
  on (before, places within a union were counted from the union on). Needs a JDK; ``--jars`` is a folder with the jars
  of Avro and Jackson, without it those of the registry of the integration tests.

What they differ in is printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import requests

from kafka_sr_retry.avro.compatibility import LEVELS, clashes, parse, unread

ROOT = Path(__file__).parents[1]
PRIMITIVES = ("boolean", "int", "long", "float", "double", "bytes", "string")
SYMBOLS = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class History:
    """``schemas``: texts, the oldest first; the last is the new one."""

    number: int
    schemas: tuple[str, ...]

    def fits(self, level: str) -> bool:
        *earlier, new = map(parse, self.schemas)
        return not list(clashes(new, list(enumerate(earlier, 1)), level))


def histories(seed: int, pairs: int) -> list[History]:
    draw = Random(seed)
    return [_history(draw, number) for number in range(pairs)]


def _history(draw: Random, number: int) -> History:
    while True:  # until there is one that can be changed twice
        schema = _Drawn(draw).schema()
        made: list[str] = []
        try:
            parse(json.dumps(schema))
        except ValueError:  # a name whose definition was left out of a union
            continue
        for _ in range(20):
            text = json.dumps(schema)
            if text not in made:
                made.append(text)
            if len(made) == 3:
                return History(number, tuple(made))
            schema = _changed(draw, schema)


class _Drawn:
    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.names: list[str] = []
        self.spaces = draw.choice(((None,), ("shop", "org.x")))

    def schema(self) -> Any:
        if self.draw.random() < 0.85:
            return self.record(3)
        return self.of(3)

    def of(self, depth: int, union: bool = True) -> Any:
        kinds = ["primitive"] * 4 + ["enum", "fixed"] + (["known"] if self.names else [])
        if depth:
            kinds += ["record"] * 2 + ["array", "map"] + (["union"] * 3 if union else [])
        kind = self.draw.choice(kinds)
        if kind == "primitive":
            return self.draw.choice(PRIMITIVES)
        if kind == "known":
            return self.draw.choice(self.names)
        if kind in ("array", "map"):
            return {"type": kind, "items" if kind == "array" else "values": self.of(depth - 1)}
        if kind == "union":
            return self.union(depth)
        if kind == "record":
            return self.record(depth)
        made: dict[str, Any] = {"type": kind, **self.name()}
        if kind == "fixed":
            return {**made, "size": self.draw.choice((4, 8))}
        made["symbols"] = sorted(self.draw.sample(SYMBOLS, self.draw.randint(1, 4)))
        if self.draw.random() < 0.3:
            made["default"] = made["symbols"][0]
        return made

    def name(self) -> dict[str, Any]:
        space = self.draw.choice(self.spaces)
        name = f"N{len(self.names)}"
        self.names.append(f"{space}.{name}" if space else name)
        return {"name": name, "namespace": space} if space else {"name": name}

    def record(self, depth: int) -> Any:
        made = {"type": "record", **self.name()}
        own = self.names[-1]
        fields = []
        for number in range(self.draw.randint(1, 4)):
            if self.draw.random() < 0.08:  # a schema that holds itself
                fields.append({"name": f"f{number}", "type": ["null", own], "default": None})
            else:
                fields.append(_with_default(self.draw, {"name": f"f{number}", "type": self.of(depth - 1)}))
        return {**made, "fields": fields}

    def union(self, depth: int) -> Any:
        branches: dict[str, Any] = {"null": "null"} if self.draw.random() < 0.7 else {}
        for _ in range(self.draw.randint(1, 3)):
            branch = self.of(depth - 1, union=False)
            branches.setdefault(_name(branch), branch)
        return list(branches.values())


def _name(branch: Any) -> str:
    """What no other branch of a union may be called."""
    if isinstance(branch, str):
        return branch
    return f"{branch.get('namespace', '')}.{branch['name']}".lstrip(".") if "name" in branch else str(branch["type"])


_DEFAULTS = {"boolean": False, "int": 0, "long": 0, "float": 0, "double": 0, "bytes": "", "string": ""}


def _with_default(draw: Random, field: dict[str, Any]) -> dict[str, Any]:
    of = field["type"]
    first = of[0] if isinstance(of, list) else of
    default: Any = None
    if isinstance(first, str):
        if first not in _DEFAULTS and first != "null":
            return field
        default = _DEFAULTS.get(first)
    elif first["type"] in ("array", "map"):
        default = [] if first["type"] == "array" else {}
    elif first["type"] == "enum":
        default = first["symbols"][0]
    else:
        return field
    return {**field, "default": default} if draw.random() < 0.5 else field


def _parts(schema: Any, field: dict[str, Any] | None = None) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    """All its types that can be changed in place, each with the field that it is the type of."""
    yield schema, field
    if isinstance(schema, list):
        for branch in schema:
            yield from _parts(branch)
    elif isinstance(schema, dict):
        for inner in ("items", "values"):
            if inner in schema:
                yield from _parts(schema[inner])
        for each in schema.get("fields", ()):
            yield from _parts(each["type"], each)


def _changed(draw: Random, schema: Any) -> Any:
    """With one to three changes of the kinds that people make; what could not be read any more is drawn again."""
    for _ in range(100):
        made = deepcopy(schema)
        for _ in range(draw.randint(1, 3)):
            made = _change(draw, made)
        try:
            parse(json.dumps(made))
            _java_takes(made)
        except ValueError:
            continue
        return made
    return schema


def _java_takes(schema: Any) -> None:
    """Raise ``ValueError`` for what is no schema, but reads well: equal branches, a default that does not fit."""
    for part, field in _parts(schema):
        if isinstance(part, list):
            names = [_name(branch) for branch in part]
            if len(set(names)) < len(names) or not part:
                raise ValueError("equal branches")
        if isinstance(part, dict) and len({f["name"] for f in part.get("fields", ())}) < len(part.get("fields", ())):
            raise ValueError("equal fields")
        if field and "default" in field:
            first = part[0] if isinstance(part, list) else part
            kind = first if isinstance(first, str) else first["type"]
            fits = {"null": type(None), "boolean": bool, "array": list, "map": dict, "bytes": str, "string": str}
            fits |= {"enum": str, "record": dict, "fixed": tuple}
            wrong = type(field["default"]) is not fits.get(kind, int)
            if wrong or (kind == "enum" and field["default"] not in first["symbols"]):
                raise ValueError("a default that does not fit")


def _change(draw: Random, schema: Any) -> Any:
    parts = list(_parts(schema))
    records = [part for part, _ in parts if isinstance(part, dict) and part["type"] == "record"]
    named = [part for part, _ in parts if isinstance(part, dict) and "name" in part]
    unions = [part for part, _ in parts if isinstance(part, list)]
    enums = [part for part in named if part["type"] == "enum"]
    fields = [field for record in records for field in record["fields"]]
    kind = draw.choice(
        ["add"] * 3 + ["drop", "drop", "retype", "retype", "default", "rename field", "rename", "space"]
        + ["branch", "branch", "unbranch", "nullable", "size", "symbol", "unsymbol", "symbols' default", "order"]
    )  # fmt: skip
    if kind == "add" and records:
        new = {"name": f"g{draw.randint(0, 3)}", "type": _Drawn(draw).of(0)}
        if isinstance(new["type"], dict):
            new["type"]["name"] += f"x{draw.randint(0, 10**6)}"
        draw.choice(records)["fields"].append(_with_default(draw, new))
    elif kind == "drop" and fields:
        record = draw.choice([record for record in records if record["fields"]])
        record["fields"].remove(draw.choice(record["fields"]))
    elif kind == "retype" and fields:
        field = draw.choice(fields)
        if isinstance(field["type"], str) and field["type"] in PRIMITIVES:
            field["type"] = draw.choice(PRIMITIVES)
            field.pop("default", None)
    elif kind == "default" and fields:
        field = draw.choice(fields)
        if "default" in field:
            del field["default"]
        else:
            field.update(_with_default(draw, field))
    elif kind == "rename field" and fields:
        field = draw.choice(fields)
        old, field["name"] = field["name"], f"{field['name']}r"
        if draw.random() < 0.6:
            field["aliases"] = [old, *field.get("aliases", ())]
    elif kind == "rename" and named and parts[0][0] in named:
        part = parts[0][0]  # the outermost: nothing else names it, unless it holds itself
        old = _name(part)
        part["name"] += "R"
        if draw.random() < 0.6:
            part["aliases"] = [draw.choice((old, part["name"].removesuffix("R")))]
    elif kind == "space" and named and parts[0][0] in named and "namespace" in parts[0][0]:
        parts[0][0]["namespace"] = draw.choice(("shop", "org.x", "y"))
    elif kind == "branch" and unions:
        draw.choice(unions).append(draw.choice(PRIMITIVES))
    elif kind == "unbranch" and unions:
        union = draw.choice(unions)
        if len(union) > 1:
            union.pop(draw.randrange(len(union)))
    elif kind == "nullable" and fields:
        field = draw.choice(fields)
        if not isinstance(field["type"], list):
            field["type"] = draw.choice((["null", field["type"]], [field["type"], "null"]))
            field.pop("default", None)
            field.update(_with_default(draw, field))
    elif kind == "size":
        for part in named[:]:
            if part["type"] == "fixed" and draw.random() < 0.7:
                part["size"] = draw.choice((4, 8))
    elif kind in ("symbol", "unsymbol") and enums:
        enum = draw.choice(enums)
        symbol = draw.choice(SYMBOLS)
        if kind == "symbol" and symbol not in enum["symbols"]:
            enum["symbols"].append(symbol)
        elif kind == "unsymbol" and len(enum["symbols"]) > 1:
            gone = enum["symbols"].pop()
            if enum.get("default") == gone:
                del enum["default"]
    elif kind == "symbols' default" and enums:
        enum = draw.choice(enums)
        enum.pop("default", None) or enum.update(default=enum["symbols"][0])
    elif kind == "order" and records:
        draw.shuffle(draw.choice(records)["fields"])
    return schema


def set_level(url: str, subject: str, level: str) -> None:
    answer = requests.put(f"{url}/config/{subject}", json={"compatibility": level}, timeout=30)
    if level != "NONE":  # Apicurio has no rule then, and answers 404
        answer.raise_for_status()


def refused_by(url: str, history: History, level: str, prefix: str) -> bool | None:
    """Whether the registry refuses the new schema; ``None`` where it takes not even the earlier ones."""
    subject = f"{prefix}-{history.number}-{level.lower()}"
    with requests.Session() as session:
        session.headers["Content-Type"] = "application/vnd.schemaregistry.v1+json"
        for number, text in enumerate(history.schemas):
            if number in (0, len(history.schemas) - 1):
                set_level(url, subject, "NONE" if number == 0 else level)
            answer = _registered(session, f"{url}/subjects/{subject}/versions", text)
            if number < len(history.schemas) - 1 and not answer.ok:
                return None
    return None if answer.status_code not in (200, 409) else answer.status_code == 409


def _registered(session: requests.Session, url: str, text: str) -> requests.Response:
    """The answer that is no trouble of the registry's own: an Apicurio on H2 has some when it is asked in parallel, a
    500 for a lock and a 409 that speaks of what already exists."""
    for attempt in range(5):
        answer = session.post(url, json={"schema": text}, timeout=30)
        if answer.ok or (answer.status_code == 409 and "ncompatible" in answer.text):
            break
        time.sleep(0.2 * attempt)
    return answer


def beside_registry(
    url: str, drawn: Sequence[History], levels: Sequence[str], prefix: str
) -> tuple[Counter[str], list[str]]:
    """How many were judged how, and where we differ."""
    cases = [(history, level) for history in drawn for level in levels]
    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(lambda case: refused_by(url, *case, prefix), cases))
    count: Counter[str] = Counter()
    differ = []
    for (history, level), theirs in zip(cases, refused, strict=True):
        ours = not history.fits(level)
        count["not taken at all" if theirs is None else "refused" if theirs else "taken"] += 1
        if theirs is not None and ours != theirs:
            words = "refuses" if theirs else "takes"
            differ.append(f"history {history.number}, {level}: it {words} what we do not: {history.schemas}")
    return count, differ


JAVA = """
import java.io.*; import org.apache.avro.*; import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.node.*;
public class Judge { public static void main(String[] none) throws Exception {
  ObjectMapper json = new ObjectMapper();
  BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
  PrintStream out = new PrintStream(System.out, true, "UTF-8");
  for (String line; (line = in.readLine()) != null; ) {
    JsonNode given = json.readTree(line); ArrayNode found = json.createArrayNode();
    try {
      Schema reader = new Schema.Parser().parse(given.get(0).asText());
      Schema writer = new Schema.Parser().parse(given.get(1).asText());
      for (SchemaCompatibility.Incompatibility each :
          SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getResult().getIncompatibilities())
        found.addArray().add(each.getType().toString()).add(each.getLocation()).add(each.getMessage());
    } catch (SchemaParseException | AvroTypeException error) {
      found.addArray().add("NO SCHEMA").add("").add(error.getMessage());
    } catch (AvroRuntimeException error) { found.addArray().add("AMBIGUOUS_FIELD").add("").add(error.getMessage()); }
    out.println(json.writeValueAsString(found));
  } } }
"""


def beside_java(jars: str, drawn: Sequence[History]) -> tuple[Counter[str], list[str]]:
    pairs = [
        (reader, writer)
        for history in drawn
        for earlier in history.schemas[:-1]
        for reader, writer in ((history.schemas[-1], earlier), (earlier, history.schemas[-1]))
    ]
    places = not any("avro-1.11" in jar.name for jar in Path(jars).parent.glob("*.jar"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "Judge.java")
        source.write_text(JAVA)
        subprocess.run(["javac", "-cp", jars, str(source)], check=True, cwd=folder)
        given = "".join(json.dumps(pair) + "\n" for pair in pairs)
        command = ["java", "-cp", f"{jars}:{folder}", "Judge"]
        told = subprocess.run(
            command, input=given, text=True, check=True, stdout=subprocess.PIPE, encoding="utf-8"
        ).stdout
    count: Counter[str] = Counter()
    differ = []
    for pair, line in zip(pairs, told.splitlines(), strict=True):
        theirs = {(rule, place if places else "", words) for rule, place, words in json.loads(line)}
        ours = {(f.rule, f.pointer if places else "", f.detail) for f in unread(*map(parse, pair))}
        count.update({"pairs": 1, "unread": bool(theirs), **Counter(rule for rule, *_ in theirs)})
        alone = {rule for rule, *_ in ours | theirs} == {"AMBIGUOUS_FIELD"}  # the words of an exception
        if ours != theirs and not alone:
            differ.append(f"reader {pair[0]}\nwriter {pair[1]}\n  ours {sorted(ours)}\n  Java {sorted(theirs)}")
    return count, differ


@contextmanager
def registry(url: str | None) -> Iterator[str]:
    if url:
        yield url.rstrip("/")
        return
    from tests.integration.stack import registries

    with registries.apicurio(registries.APICURIO[0]) as started:
        yield started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url")
    parser.add_argument("--jars", help="a folder with Avro's and Jackson's; default: those of the stack's registry")
    parser.add_argument("--java-only", action="store_true")
    given = parser.parse_args()
    drawn = histories(given.seed, given.pairs)
    print(f"seed {given.seed}, {len(drawn)} histories")
    jars = given.jars or str(ROOT / ".stack" / "libs" / "registry" / "lib")
    differ: list[str] = []
    if not given.java_only:
        with registry(given.url) as url:
            count, found = beside_registry(url, drawn, LEVELS, f"seed{given.seed}")
        print(f"registry at all levels: {dict(count)}; differ: {len(found)}")
        differ += found
    count, found = beside_java(f"{jars}/*", drawn)
    print(f"Java's SchemaCompatibility: {dict(count)}; differ: {len(found)}")
    differ += found
    for each in differ[:10]:
        print(each)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
