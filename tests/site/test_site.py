"""The built site in a browser: ``make docs``."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest
from chromium import FOUND, Chromium

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("**/index.html"))
PHONE = 375
(REPOSITORY,) = re.findall(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
FILES = f"{REPOSITORY}/blob/main/"

if not FOUND:
    missing = "the site was not looked at: no Chromium here (Debian: apt install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing, allow_module_level=True)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    made = Chromium(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


def test_every_page_of_docs_is_there() -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in ROOT.glob("docs/**/*.md")}
    assert {f"{page}/index.html" for page in pages} - set(PAGES) == set()
    assert "index.html" in PAGES


OVERFLOWS = """
(() => {
  const wide = document.documentElement.clientWidth;
  const inside = (node) => {
    for (let up = node.parentElement; up; up = up.parentElement) {
      const overflow = getComputedStyle(up).overflowX;
      if (overflow !== "visible" && up.getBoundingClientRect().right <= wide + 1) return true;
    }
    return false;
  };
  return [...document.querySelectorAll(".md-content *")]
    .filter((node) => node.getBoundingClientRect().right > wide + 1 && !inside(node))
    .map((node) => node.tagName + ": " + node.textContent.trim().slice(0, 60));
})()
"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_renders_and_fits_a_phone(page: str, browser: Chromium, url: str) -> None:
    browser.errors.clear()
    browser.open(url + page, width=PHONE, height=800)
    assert browser.value("document.querySelector('.md-content h1').getBoundingClientRect().height") > 0
    assert browser.value("document.documentElement.scrollWidth") <= PHONE
    assert browser.value(OVERFLOWS) == []
    assert browser.value("[...document.images].filter((each) => !each.naturalWidth).map((each) => each.src)") == []
    text = browser.value("document.querySelector('.md-content').innerText")
    assert [mark for mark in ("<!--", "```", "](", ":::", "| ---") if mark in text] == []
    assert browser.errors == []


GUIDES = {path.stem: path.read_text() for path in ROOT.glob("docs/guides/*.md")}


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_shows_the_files_that_are_tested(guide: str, browser: Chromium, url: str) -> None:
    browser.open(f"{url}guides/{guide}/")
    shown = browser.value("[...document.querySelectorAll('pre code')].map((node) => node.textContent.trim())")
    files = [(ROOT / path).read_text().strip() for path in re.findall("<!-- include (.+) -->", GUIDES[guide])]
    assert len(files) == GUIDES[guide].count("<!--") > 0
    assert [file for file in files if file not in shown] == []


class Document(HTMLParser):
    """The sections of a page, and where it leads."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.sections: set[str] = set()
        self.links: list[str] = []
        self.feed((SITE / path).read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.sections |= {given.get("id") or "", given.get("name") or ""}
        self.links += [given[name] or "" for name in ("href", "src") if name in given]


def test_a_link_leads_to_what_is_there() -> None:
    """Those within the site, their sections too; into the repository, to a file."""
    documents = {page: Document(page) for page in PAGES}
    lost = set()
    for page, document in documents.items():
        for link in document.links:
            path, _, section = link.partition("#")
            if path.startswith(FILES):
                there = (ROOT / path.removeprefix(FILES)).exists()
            elif ":" in path:
                continue
            else:
                target = normpath(join(dirname(page), path)) if path else page
                target = join(target, "index.html") if (SITE / target).is_dir() else target
                there = (SITE / target).exists() and (not section or section in documents[target].sections)
            if not there:
                lost.add((page, link))
    assert lost == set()


FIND = """
new Promise((resolve, reject) => {
  const input = document.querySelector("[data-md-component=search-query]");
  input.focus();
  input.value = %r;
  input.dispatchEvent(new Event("keyup", {bubbles: true}));
  input.dispatchEvent(new Event("input", {bubbles: true}));
  const look = (left) => {
    const found = [...document.querySelectorAll(".md-search-result__link")].map((node) => node.getAttribute("href"));
    if (found.length || left === 0) resolve(found);
    else setTimeout(look, 100, left - 1);
  };
  look(300);
})
"""


@pytest.mark.parametrize(("words", "page"), [("50003", "failures/"), ("warm_up", "asyncio/")])
def test_the_search_finds(words: str, page: str, browser: Chromium, url: str) -> None:
    browser.open(url)
    found = browser.value(FIND % words)
    assert [link for link in found if page in link] != []
