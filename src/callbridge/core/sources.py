"""`Sources`: the sources of an answer, each once, by title and address. The text of documents is never passed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.documents import Document

from callbridge.core.facts import SourceFound

__all__ = ["Sources"]


class Sources:
    """The sources that were found in one stream."""

    def __init__(self) -> None:
        self._known: set[Any] = set()
        self._ids: set[str] = set()

    def documents(self, documents: Iterable[Document]) -> list[SourceFound]:
        """Return the documents that are new."""
        found = []
        for document in documents:
            metadata: Mapping[str, Any] = document.metadata
            url = _url(metadata)
            title = _title(metadata)
            key = (getattr(document, "id", None), document.page_content, title, url, str(metadata.get("source")))
            if key not in self._known:
                self._known.add(key)
                found.append(self._source(getattr(document, "id", None), title, url))
        return found

    def citations(self, citations: Iterable[Mapping[str, Any]]) -> list[SourceFound]:
        """Return the citations of web pages that are new."""
        found = []
        for citation in citations:
            url = _url(citation)
            if url is not None and url not in self._known:
                self._known.add(url)
                found.append(self._source(None, _title(citation), url))
        return found

    def _source(self, given: Any, title: str, url: str | None) -> SourceFound:
        number = len(self._ids) + 1
        name = given if isinstance(given, str) and given and given not in self._ids else f"source-{number}"
        while name in self._ids:
            number += 1
            name = f"source-{number}"
        self._ids.add(name)
        return SourceFound(name, title or url or f"Source {len(self._ids)}", url)


def _url(metadata: Mapping[str, Any]) -> str | None:
    """Return the address of a web page. Clients must not see others (`javascript:`, paths of the server)."""
    for name in ("url", "link", "source"):
        value = metadata.get(name)
        if isinstance(value, str) and value.lower().startswith(("https://", "http://")):
            return value
    return None


def _title(metadata: Mapping[str, Any]) -> str:
    title = metadata.get("title")
    if isinstance(title, str) and title:
        return title
    source = metadata.get("source")
    return (
        source.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(source, str) and _url(metadata) is None else ""
    )
