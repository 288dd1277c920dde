"""Schemas in files: which there are, what types they define, and what types of others they use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka_sr_retry.avro.compatibility import PRIMITIVES
from kafka_sr_retry.errors import one_line

LARGEST = 16 * 1024 * 1024
"""Bytes of a file."""


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """A file.

    Attributes:
        path: as it is told.
        within: its path within the folder that was given; of a file that was given, its name.
        text: of the schema; empty where it cannot be read.
        wrong: why it cannot be read, or empty.
        name: full name of its outermost type, where that has one.
        defines: all its types, by their full names.
        uses: for each type that it uses and does not define, its possible full names, the likeliest first.
    """

    path: str
    within: str
    text: str = ""
    wrong: str = ""
    name: str | None = None
    defines: Mapping[str, Any] = field(default_factory=dict)
    uses: tuple[tuple[str, ...], ...] = ()


def read(given: Sequence[str]) -> list[SchemaFile]:
    """The files, and the ``.avsc`` files in folders, however deep, each once. Links to folders are not followed."""
    found: dict[str, SchemaFile] = {}
    for argument in given:
        for path, within in _paths(argument):
            real = os.path.realpath(path)
            if real not in found:
                found[real] = _file(path, within)
    return list(found.values())


def _paths(argument: str) -> Iterator[tuple[str, str]]:
    if not os.path.isdir(argument):
        yield argument, os.path.basename(argument)
        return
    none = True
    trouble: list[OSError] = []
    for folder, folders, names in os.walk(argument, onerror=trouble.append):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".avsc"):
                none = False
                path = os.path.join(folder, name)
                yield path, os.path.relpath(path, argument)
    for error in trouble:
        yield str(error.filename), os.path.basename(str(error.filename))
    if none and not trouble:
        yield argument, ""


def _file(path: str, within: str) -> SchemaFile:
    told = one_line(path)
    try:
        text = _text(path)
        schema = text.strip() if text.strip() in PRIMITIVES else json.loads(text)
        names = _Names()
        names.of(schema, "")
        name = names.full(schema) if isinstance(schema, dict) else None
        uses = tuple(dict.fromkeys(use for use in names.uses if names.defines.keys().isdisjoint(use)))
        return SchemaFile(told, within, text, name=name, defines=names.defines, uses=uses)
    except json.JSONDecodeError as error:
        wrong = f"no JSON: {error.msg}, line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError:
        wrong = "its text is not UTF-8"
    except RecursionError:
        wrong = "it is nested too deep"
    except _OddFileError as error:
        wrong = str(error)
    except OSError as error:
        wrong = f"it cannot be read: {error.strerror or error}"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        wrong = f"no Avro schema: {error.args[0] if isinstance(error, ValueError) and error.args else _odd(error)}"
    return SchemaFile(told, within, wrong=one_line(wrong, 300))


class _OddFileError(Exception):
    """Nothing that is read for a schema."""


def _odd(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else "a part of it is of the wrong type"


def _text(path: str) -> str:
    if os.path.isdir(path):
        readable = os.access(path, os.R_OK | os.X_OK)
        raise _OddFileError("the folder holds no .avsc file" if readable else "the folder may not be read")
    if os.path.exists(path) and not os.path.isfile(path):
        raise _OddFileError("this is no regular file")
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise _OddFileError(f"the file has more than {LARGEST // 1024 // 1024} MiB")
    text = content.decode("utf-8-sig")  # with or without a byte order mark
    if not text.strip():
        raise _OddFileError("the file is empty")
    return text


class _Names:
    """The named types of one schema."""

    def __init__(self) -> None:
        self.defines: dict[str, Any] = {}
        self.uses: list[tuple[str, ...]] = []

    def of(self, schema: Any, space: str) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self.of(branch, space)
        elif isinstance(schema, str):
            if schema not in PRIMITIVES:
                whole = "." in schema or not space
                self.uses.append((schema.removeprefix("."),) if whole else (f"{space}.{schema}", schema))
        elif not isinstance(schema, dict):
            raise ValueError(f"{one_line(json.dumps(schema), 60)} is no type")
        elif schema["type"] in ("array", "map"):
            self.of(schema["items" if schema["type"] == "array" else "values"], space)
        elif schema["type"] in ("record", "error", "enum", "fixed"):
            name = self.full(schema, space)
            if name is None:
                raise ValueError(f"the {schema['type']}'s name is missing or no text")
            self.defines[name] = {key: schema[key] for key in schema if key not in ("name", "namespace", "doc")}
            for each in schema["fields"] if schema["type"] in ("record", "error") else ():
                self.of(each["type"], name.rpartition(".")[0])
        else:
            self.of(schema["type"], space)

    @staticmethod
    def full(schema: dict[str, Any], space: str = "") -> str | None:
        name, own = schema.get("name"), schema.get("namespace")
        if not isinstance(name, str) or not name or schema.get("type") in ("array", "map"):
            return None
        space = own if isinstance(own, str) else space
        return name.removeprefix(".") if "." in name or not space else f"{space}.{name}"


def by_name(files: Iterable[SchemaFile]) -> dict[str, list[SchemaFile]]:
    """Who defines a type: as its outermost, or, where nobody does, within."""
    files = list(files)
    found: dict[str, list[SchemaFile]] = {}
    for file in files:
        if file.name:
            found.setdefault(file.name, []).append(file)
    outermost = set(found)
    for file in files:
        for name in file.defines:
            if name not in outermost:
                found.setdefault(name, []).append(file)
    return found
