"""The figures of a run on a screen, as Markdown, and as a plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from encoding_contenders import CONFLUENT, COPY, FASTAVRO, NATIVE, PYTHON, WRITER
from encoding_peers import AVRO, OTHERS
from rich.console import Console
from rich.table import Table

Result = dict[str, Any]

PLOTTED = (
    "3 fields",
    "order of 10 items",
    "order, as a dataclass",
    "order, as pydantic",
    "Debezium envelope",
    "click stream",
    "300 nullable columns",
    "10,000 epoch longs",
    "map of 10,000 strings",
    "5 decimals in bytes",
    "6 datetimes",
    "tree of 255 nodes",
)
MARKS = {
    CONFLUENT: ("s", "#d55e00", 45),
    "avroc": ("v", "#e69f00", 30),
    "cavro": ("^", "#999999", 30),
    "spavro": ("<", "#999999", 30),
    "cerializer": (">", "#999999", 30),
    PYTHON: ("D", "#56b4e9", 40),
    "orjson": ("+", "#009e73", 60),
    "msgspec msgpack": ("x", "#009e73", 40),
    NATIVE: ("o", "#0072b2", 60),
}
"""Marker, colour, size."""

GOOD_DAY = {
    "3 fields": "two strings and a long",
    "order of 10 items": "an order of ten items and a map",
    "100 fields": "a hundred fields, with unions and records",
    "3 fields, one missing": "two strings and a long, one of them missing",
}


def _ratio(number: float) -> str:
    return f"{number:.3f}" if number < 0.1 else f"{number:.2f}"


def _rows(result: Result, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """Of each shape its name, what is known of it, and the ratios as they are told."""
    for name, shape in result["shapes"].items():
        cells = []
        for contender in names:
            found = shape["encoding"].get(contender)
            cells.append("-" if found is None else _ratio(found["ratio"]) + "†" * (contender in shape["left"]))
        yield name, shape, cells


def _there(result: Result, names: Iterable[str]) -> list[str]:
    """Those that have a figure."""
    found = {name for shape in result["shapes"].values() for name in shape["encoding"]}
    return [name for name in names if name in found]


# -- a screen -------------------------------------------------------------------------------------


def show(result: Result, console: Console) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    machine = f"{result['date']}, Python {result['python']}, {result['cores']} cores, load {result['load']:.1f}"
    console.print(f"{machine}; {versions}\n", highlight=False)
    ours = _there(result, (NATIVE, WRITER, PYTHON, CONFLUENT))
    table = _table("", "bytes", "fastavro us", "native us", *ours)
    for name, shape, cells in _rows(result, ours):
        encoding = shape["encoding"]
        native = f"{encoding[NATIVE]['us']:,.2f}" if NATIVE in encoding else "-"
        table.add_row(name, f"{shape['bytes']:,}", f"{encoding[FASTAVRO]['us']:,.2f}", native, *cells)
    _show(console, "A message: microseconds; time as a multiple of fastavro's († left to fastavro)", table)
    peers = _there(result, (NATIVE, *AVRO, *OTHERS, COPY))
    table = _table("", *peers)
    for name, _, cells in _rows(result, peers):
        table.add_row(name, *cells)
    _show(console, "The same beside other encoders, the first four of Avro", table)
    for name, shapes in result["absent"].items():
        console.print(f"{name} has no figure: {_reasons(shapes, len(result['shapes']))}", highlight=False)
    console.print()
    _show_end_to_end(result, console)
    for shape, each in result["compiling"].items():
        told = ", ".join(
            f"{name} {one['ms']:.1f} ms, keeps {one['kept_bytes'] / 1024:.0f} KB" for name, one in each.items()
        )
        console.print(f"compiling {shape}: {told}", highlight=False)
    for line in _others(result):
        console.print(line, highlight=False)


def _others(result: Result) -> Iterator[str]:
    yield f"tables of all Python functions: {result['tables_bytes'] / 1e6:.1f} MB"
    for name, ratio in result["listened"].items():
        yield f"with metrics and traces / without, {name}: {ratio:.2f}"
    for name, ratio in result["threads"].items():
        yield f"four threads / one, the same work, {name}: {ratio:.2f}"


def _reasons(shapes: dict[str, str], of: int) -> str:
    """``TypeError (6 datetimes; 5 uuids), ...``"""
    by_reason: dict[str, list[str]] = {}
    for shape, reason in shapes.items():
        by_reason.setdefault(reason, []).append(shape)
    return ", ".join(
        reason if len(names) == of else f"{reason} ({'; '.join(names)})" for reason, names in by_reason.items()
    )


def _show_end_to_end(result: Result, console: Console) -> None:
    for shape, producers in result["end_to_end"].items():
        table = _table("producer", "serializer", "thread us", "of bytes'", "all us")
        for producer, serializers in producers.items():
            for name, each in serializers.items():
                cells = (f"{each['us']:.2f}", f"{each['ratio']:.2f}", f"{each['process_us']:.2f}")
                table.add_row(producer, name, *cells)
        _show(console, f"{shape}, end to end: CPU of the calling thread, and of all threads", table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        is_name = heading in ("", "producer", "serializer")
        table.add_column(heading.replace(" ", "\n"), justify="left" if is_name else "right", no_wrap=True)
    return table


def _show(console: Console, title: str, table: Table) -> None:
    console.print(title, style="bold", highlight=False)
    console.print(table)
    console.print()


# -- Markdown -------------------------------------------------------------------------------------


def markdown(result: Result) -> str:
    """The tables of the documents, each behind a line that names its place, and the figures of their sentences."""
    return "\n".join(
        [
            "docs/encoding.md, What it costs",
            *_of_shapes(result, ("bytes", "fastavro"), _there(result, (NATIVE, PYTHON, CONFLUENT))),
            "docs/encoding.md, Beside other encoders",
            *_of_shapes(result, (), _there(result, (NATIVE, *AVRO, *OTHERS, COPY))),
            "docs/encoding.md, End to end",
            *_of_producers(result),
            "docs/encoding.md, compiling",
            *_of_compiling(result),
            "docs/figures.md, What it costs on a good day",
            *_of_a_good_day(result),
            "In sentences",
            *_in_sentences(result),
        ]
    )


def _of_shapes(result: Result, before: tuple[str, ...], names: list[str]) -> Iterator[str]:
    yield from _head("", *before, *names)
    for name, shape, (first, *others) in _rows(result, names):
        known = {"bytes": f"{shape['bytes']:,}", "fastavro": f"{shape['encoding'][FASTAVRO]['us']:,.2f} µs"}
        yield _row(name, *(known[each] for each in before), f"**{first}**", *others)


def _of_producers(result: Result) -> Iterator[str]:
    shapes = result["end_to_end"]
    yield from _head("", "", *(told for shape in shapes for told in (shape, "all threads")))
    for producer, serializers in next(iter(shapes.values()), {}).items():
        for name in serializers:
            cells = [each[producer][name] for each in shapes.values()]
            told = [(f"{one['us']:.2f} µs ({one['ratio']:.2f})", f"{one['process_us']:.2f} µs") for one in cells]
            yield _row(f"`{producer}`", name, *(cell for each in told for cell in each))


def _of_compiling(result: Result) -> Iterator[str]:
    names = list(next(iter(result["compiling"].values()), {}))
    yield from _head("schema", *(f"{name}{more}" for name in names for more in ("", " keeps")))
    for shape, each in result["compiling"].items():
        told = [(f"{one['ms']:.2f} ms", f"{one['kept_bytes'] / 1024:.0f} KB") for one in each.values()]
        yield _row(shape, *(cell for one in told for cell in one))


def _of_a_good_day(result: Result) -> Iterator[str]:
    yield from _head("", "this", "of fastavro's time", "of Confluent's serializer's")
    for name, words in GOOD_DAY.items():
        if (encoding := result["shapes"].get(name, {}).get("encoding")) and NATIVE in encoding:
            us, theirs = encoding[NATIVE]["us"], encoding[CONFLUENT]["us"]
            yield _row(words, f"{us:.2f} µs", _ratio(encoding[NATIVE]["ratio"]), _ratio(us / theirs))


def _in_sentences(result: Result) -> Iterator[str]:
    if (small := result["shapes"].get("3 fields", {}).get("encoding")) and NATIVE in small:
        yield f"README.md, No cost: {small[NATIVE]['us']:.1f} µs in place of {small[CONFLUENT]['us']:.1f} µs"
    for shape, producers in result["end_to_end"].items():
        for name, each in producers["SerializingProducer"].items():
            yield f"SerializingProducer over Producer, {shape}, {name}: {each['more_us']:.2f} µs"
    yield from _others(result)


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row("---", *(["---:"] * (len(names) - 1)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  ", "| ")


# -- a plot ---------------------------------------------------------------------------------------


def plot(path: Path, result: Result) -> None:
    import matplotlib.pyplot as plt

    shapes = [shape for shape in PLOTTED if shape in result["shapes"]]
    figure, axis = plt.subplots(figsize=(8, 6.4), dpi=100)
    for name, (marker, colour, size) in MARKS.items():
        found = [(n, result["shapes"][shape]["encoding"].get(name)) for n, shape in enumerate(shapes)]
        there = [(cell["ratio"], n) for n, cell in found if cell]
        axis.scatter(
            *zip(*there, strict=True) if there else ((), ()),
            s=size,
            marker=marker,
            c=colour,
            label=f"{name} (this)" if name in (NATIVE, PYTHON) else name,
        )
    axis.axvline(1, color="black", linewidth=1, linestyle=":")
    axis.set_xscale("log")
    ticks = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks(range(len(shapes)), shapes)
    axis.grid(axis="y", color="#dddddd")
    axis.set_axisbelow(True)
    axis.invert_yaxis()
    axis.set_xlabel("time, as a multiple of fastavro's: less is faster")
    axis.set_title(f"Python {result['python']}, {result['date']}", fontsize=10)
    figure.legend(loc="lower center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(path)
