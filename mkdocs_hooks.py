"""What MkDocs does with docs/: README as the home page, links to the repository's files, examples, metrics."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent
(REPOSITORY,) = re.findall(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
IN_REPOSITORY = f"{REPOSITORY}/blob/main/"


def on_config(config: Any) -> Any:
    # not as repo_url, for which each page would ask GitHub how many stars there are
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": REPOSITORY, "name": "Source"}]
    return config


def on_files(files: Files, config: Any) -> Files:
    readme = (ROOT / "README.md").read_text()
    files.append(File.generated(config, "index.md", content=readme.replace(f"]({IN_REPOSITORY}docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def absolute(link: re.Match[str]) -> str:
        path, anchor = link[1], link[2] or ""
        target = posixpath.normpath(posixpath.join(folder, path))
        if target.startswith("docs/"):
            return link[0]
        if not (ROOT / target).exists():
            raise PluginError(f"{page.file.src_uri} links to {path}, which does not exist")
        return f"]({IN_REPOSITORY}{target}{anchor})"

    linked = re.sub(r"\]\((\.\./[^)#\s]*)(#[^)\s]*)?\)", absolute, markdown)
    shown = re.sub(r"<!-- include (\S+) -->", lambda found: example(ROOT / found[1]), linked)
    return shown.replace("<!-- metrics -->", metrics()) if "<!-- metrics -->" in shown else shown


def example(path: Path) -> str:
    """The file itself, which a test runs."""
    return f"```python\n{path.read_text().rstrip()}\n```"


def metrics() -> str:
    """A table of those that instrumentation/measures.py declares."""
    rows = ["| name | unit | labels | meaning |", "| --- | --- | --- | --- |"]
    for node in ast.walk(ast.parse((ROOT / "kafka_sr_retry/instrumentation/measures.py").read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Metric":
            name, unit, labels, meaning = map(ast.literal_eval, node.args)
            told = ", ".join(f"`{label}`" for label in labels) or "-"
            rows.append(f"| `kafka_sr_retry.{name}` | `{unit}` | {told} | {meaning} |")
    return "\n".join(rows)
