"""Reads a page back: its elements, its words, its tables, and its key numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from ssl4eco_data.report import write_report

VOID = {"area", "br", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """Elements of a page; every tag must be closed by its own end tag.

    ``tables`` holds the text of each cell, by table and row.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def having(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]

    def in_class(self, tag: str, name: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and name in (a.get("class") or "").split()]


def read(root: Path, archive: Path | None = None) -> tuple[str, Page]:
    html = write_report(root, archive).read_text(encoding="utf-8")
    return html, Page(html)


def number(html: str, name: str) -> int:
    found = re.search(rf'id="n-{name}">([\d,]+)<', html)
    assert found
    return int(found[1].replace(",", ""))
