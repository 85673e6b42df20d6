"""A small library of notes about tea, and its retriever."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

__all__ = ["NOTES", "NoteRetriever"]


def _note(title: str, text: str) -> Document:
    return Document(text, metadata={"title": title, "source": f"notes/{title.lower().replace(' ', '-')}.md"})


NOTES: Sequence[Document] = (
    _note("Sencha", "Sencha is steamed, which keeps it green. It likes water of 70 °C and one minute; hotter makes it bitter."),
    _note("Matcha", "Matcha is the whole leaf, ground to powder. It is whisked, not steeped: 2 g, 70 ml, until it foams."),
    _note("Oolong", "Oolong lies between green and black. It is rolled, and opens over six short infusions at 90 °C."),
    _note("Black tea", "Black tea is fully oxidised. Water that has just boiled and three minutes are what it needs."),
    _note("Shade", "Matcha and gyokuro grow in shade for three weeks before the harvest, which makes them sweet."),
    _note("Water", "Soft water suits sencha and oolong: lime binds what gives a tea its colour and its scent."),
)


class NoteRetriever(BaseRetriever):
    """Finds the notes that share most words with the query; none if they share no word."""

    notes: Sequence[Document] = NOTES
    count: int = 2
    """How many notes to find at most."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        asked = _words(query)
        shared = [(len(asked & _words(f"{note.metadata['title']} {note.page_content}")), note) for note in self.notes]
        ranked = sorted(shared, key=lambda each: -each[0])
        return [note for number, note in ranked[: self.count] if number]


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))
