"""What a registry may answer, and what follows, as JSON: see README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
WIDTH = 120

ORDER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
SUBJECT = "orders-value"
WORDS: dict[str, Any] = json.loads((HOME / "words.json").read_text(encoding="utf-8"))
"""Short names of answers, for transcripts."""


def cases(folder: str) -> Iterator[dict[str, Any]]:
    """Those of ``answers`` or ``transcripts``, each with its ``id`` and its ``source``."""
    for path in sorted((HOME / folder).glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for case in content["cases"]:
            yield {"source": content["source"], **case, "id": f"{path.stem}: {case['name']}"}


def body_of(answer: dict[str, Any]) -> bytes:
    """An answer's body: ``json``, or ``text`` as it is."""
    return json.dumps(answer["json"]).encode() if "json" in answer else str(answer.get("text", "")).encode()


def written(value: Any, indent: str = "", used: int = 0) -> str:
    """JSON, 2 spaces deep, and on one line what fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or (len(indent) + used + len(line) < WIDTH and "cases" not in value):
        return line
    deeper = indent + "  "
    if isinstance(value, dict):
        names = {name: f"{json.dumps(name)}: " for name in value}
        parts = [f"{deeper}{names[name]}{written(part, deeper, len(names[name]))}" for name, part in value.items()]
    else:
        parts = [deeper + written(part, deeper) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(parts), indent + closing])
