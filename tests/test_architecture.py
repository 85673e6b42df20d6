"""What the pages for the next engineer say is so: the rooms, what they import, a token's way through them, the lists."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree
from collections.abc import Callable
from itertools import groupby
from types import FrameType
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

import callbridge as cb
from callbridge import internals
from lives import Provider
from test_contracts import PACKAGE, ROOT, import_graph

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
INTERNALS = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PICTURE = ROOT / "docs" / "architecture.svg"

ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = page.split(f"\n{heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def room_of(module: str) -> str:
    """Return the room of a module; `""` for what lies beside the rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def test_the_table_of_rooms_is_what_the_files_import() -> None:
    told = {cells[0].strip("`/"): sorted(re.findall(r"`(\w+)`", cells[2])) for cells in rows(PAGE, "## The rooms")}
    imported: dict[str, set[str]] = {room: set() for room in ROOMS}
    for name, others in import_graph().items():
        if room_of(name):
            imported[room_of(name)] |= {room_of(other) for other in others} - {room_of(name), ""}
    assert told == {room: sorted(others) for room, others in imported.items()}


def test_the_files_that_are_named_are_there() -> None:
    """In the room that the sentence is about, if it names one."""
    names = {path.name for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]}
    for page in (PAGE, CONTRIBUTING):
        assert {name.rpartition("/")[2] for name in re.findall(r"`([\w/]+\.py)`", page) if "NN_" not in name} <= names
        for name in re.findall(r"`(?:src/callbridge/)?((?:\w+/)+\w+\.py)`", page):
            assert "NN_" in name or any((home / name).exists() for home in (PACKAGE, ROOT)), name


# -- a token's way


class Journey:
    """Notes each call that comes into a room from outside of it, in this thread."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_back is not None:
            room = room_of(self._module(frame))
            if room and room != room_of(self._module(frame.f_back)):
                self.entered.append(room)

    @staticmethod
    def _module(frame: FrameType) -> str:
        return str(frame.f_globals.get("__name__", ""))


def told_journey(name: str) -> list[str]:
    """Return the rooms of a journey, as the page tells them."""
    text = PAGE.split(f"<!-- journey: {name} -->")[1].split("<!-- end -->")[0]
    return re.findall(r"^\d\. \*\*`(\w+)`\*\*", text, re.MULTILINE)


def rooms_entered(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """Call a function and return the rooms that were entered by it; one that is called again at once is entered once."""
    journey, before = Journey(), sys.getprofile()
    sys.setprofile(journey)
    try:
        function(*args, **kwargs)
    finally:
        sys.setprofile(before)
    return [room for room, _ in groupby(journey.entered)]


def test_a_token_enters_each_room_once_on_its_way_to_an_event() -> None:
    """Followed from LangChain's call of the callback to the buffer, and from the reader to the buffer.

    Only the first of several tokens of one model enters `core`.
    """
    handler = cb.EventStreamHandler(streaming=True)
    (run,) = CallbackManager([handler]).on_chat_model_start({"name": "model"}, [[HumanMessage("tea")]])
    first, second = (
        rooms_entered(run.on_llm_new_token, word, chunk=ChatGenerationChunk(message=AIMessageChunk(word)))
        for word in ("red", "green")
    )
    assert first == told_journey("observe")
    assert second == [room for room in first if room != "core"]
    reading = iter(handler)
    next(reading)
    assert [rooms_entered(next, reading) for _ in range(2)] == [["observe", "channel"]] * 2


def test_an_event_enters_each_room_once_on_its_way_to_a_handler() -> None:
    class Old(BaseCallbackHandler):
        def __init__(self) -> None:
            self.said: list[str] = []

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.said.append(token)

    events = list(cb.stream_events(Provider(words=["red", "green"]), "tea"))
    old = Old()
    reading = iter(cb.dispatch_events(events, [old]))
    for event in events:
        entered = rooms_entered(next, reading)
        if event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content:
            assert entered == told_journey("dispatch")
    assert "".join(old.said) == "redgreen"


# -- the lists


def test_the_page_lists_the_names_that_nobody_promised() -> None:
    """Word for word; `python tests/test_architecture.py` prints the table."""
    shown = INTERNALS.split("<!-- generated: python tests/test_architecture.py -->\n")[1].split("<!-- end -->")[0]
    assert shown.strip() == names_table().strip()


def names_table() -> str:
    """Return the table of the names that nobody promised."""
    lines = ["| name | asked for | lost without it | seen in |", "|---|---|---|---|"]
    for row in internals.NAMES:
        name = " ".join(f"`{part}`" for part in re.split(r"[,;] ", row.name)) if "modules" not in row.name else row.name
        lines.append(f"| {name} | {row.purpose} | {row.lost} | {row.seen} |")
    return "\n".join(lines)


def test_the_page_names_a_test_for_each_heuristic() -> None:
    for heuristic, place, _, tests in rows(INTERNALS, "## Heuristics"):
        for name in re.findall(r"`([\w/]+\.py)`", place):
            assert (PACKAGE / name).exists(), heuristic
        for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", tests):
            assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), f"{heuristic}: {path}::{name}"
        assert "`tests/" in tests, heuristic


def test_the_picture_shows_every_room_by_day_and_by_night() -> None:
    text = PICTURE.read_text(encoding="utf-8")
    shown = {element.text for element in xml.etree.ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")}
    assert {f"{room}/" for room in ROOMS} <= shown
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


if __name__ == "__main__":
    print(names_table())  # noqa: T201
