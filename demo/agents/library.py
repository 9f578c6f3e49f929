"""Tools of the documentation and knowledge base agents: texts in memory, found again by their words."""

import re
from collections import Counter, OrderedDict
from typing import Annotated

from pydantic import BaseModel, Field

from demo.agents.plans import Text

CAPACITY = 500
"""Texts a library keeps; the oldest makes room."""

Body = Annotated[str, Field(max_length=50_000)]
Limit = Annotated[int, Field(ge=1, le=20)]


class Stored(BaseModel):
    """Where a text was put."""

    id: str
    texts: int
    """How many texts the library holds now."""


class Hit(BaseModel):
    """A text that was found, with the share of the query's words it contains."""

    id: str
    title: str
    excerpt: str
    score: float


class Hits(BaseModel):
    """What was found, best first."""

    hits: list[Hit]


class Library:
    """A bounded set of texts; the same title replaces its earlier text."""

    def __init__(self, prefix: str, capacity: int = CAPACITY) -> None:
        self._prefix = prefix
        self._capacity = capacity
        self._texts: OrderedDict[str, tuple[str, str, Counter[str]]] = OrderedDict()
        self._number = 0

    def write_document(self, title: Text, text: Body) -> Stored:
        """Keep a document under its title."""
        return self._store(title, text)

    def search_documents(self, query: Text, limit: Limit = 5) -> Hits:
        """Find documents that contain words of the query."""
        return self._search(query, limit)

    def store_knowledge(self, topic: Text, statement: Body) -> Stored:
        """Remember a statement about a topic."""
        return self._store(topic, statement)

    def search_knowledge(self, query: Text, limit: Limit = 5) -> Hits:
        """Find statements that contain words of the query."""
        return self._search(query, limit)

    def _store(self, title: str, text: str) -> Stored:
        known = next((name for name, (other, _, _) in self._texts.items() if other == title), None)
        if known:
            del self._texts[known]
        else:
            self._number += 1
        name = known or f"{self._prefix}-{self._number}"
        self._texts[name] = (title, text, Counter(_words(f"{title} {text}")))
        while len(self._texts) > self._capacity:
            self._texts.popitem(last=False)
        return Stored(id=name, texts=len(self._texts))

    def _search(self, query: str, limit: int) -> Hits:
        asked = set(_words(query))
        found = [
            (sum(1 for word in asked if words[word]) / len(asked), name, title, text)
            for name, (title, text, words) in self._texts.items()
            if asked
        ]
        best = sorted((hit for hit in found if hit[0] > 0), key=lambda hit: -hit[0])[:limit]
        return Hits(
            hits=[
                Hit(id=name, title=title, excerpt=text[:200], score=round(score, 3))
                for score, name, title, text in best
            ]
        )


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if len(word) > 2]
