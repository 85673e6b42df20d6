"""The pictures of the documentation show what happens today. `python docs/_site/pictures.py` draws them anew."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from callbridge import compat

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"

STALE = "the picture is stale: draw it anew with `python docs/_site/pictures.py`"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """The module that draws them."""
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "_site" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(text: str) -> str:
    """Return a text without blanks and colours."""
    return "".join(re.sub(r"\x1b\[[\d;]*m", "", text).split())


def texts(name: str) -> list[str]:
    """Return the texts of a picture."""
    tree = ElementTree.parse(PICTURES / name)
    return ["".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text")]


def metadata(name: str) -> dict[str, str]:
    """Return what a picture says of itself."""
    found = ElementTree.parse(PICTURES / name).find("{http://www.w3.org/2000/svg}metadata")
    assert found is not None
    known: dict[str, str] = json.loads(found.text or "")
    return known


def test_the_demo(drawing: ModuleType) -> None:
    """Word by word what a terminal shows; how many words the model had made is up to the moment."""
    pytest.importorskip("langchain_classic")
    drawn, shown = (
        re.sub(r"made\d+of", "made6of", words(text))
        for text in ("".join(texts("demo.svg")), "python -m callbridge demo" + drawing.demo())
    )
    assert drawn == shown, STALE


def test_back_pressure(drawing: ModuleType) -> None:
    """Both lines of the plot, give or take what a release of LangChain may change."""
    said = re.search(r"LangChain (\[.*?\]) callbridge (\[.*?\])", (PICTURES / "back-pressure.svg").read_text(encoding="utf-8"))
    assert said is not None
    theirs, ours = map(ast.literal_eval, said.groups())
    read = range(1, drawing.TOKENS + 1, 20)
    now = asyncio.run(drawing.made_against_read(bounded=True))[::20]
    assert all(made - count <= drawing.CAPACITY + 2 for made, count in zip(now, read, strict=True))
    if compat.CORE_VERSION < (1, 4, 0):
        pytest.skip("the picture is of a LangChain of today")
    assert all(abs(was - made) <= 4 for was, made in zip(ours, now, strict=True)), STALE
    assert theirs[3] == drawing.TOKENS, "LangChain's stream has no bound"


def test_the_web_chat(drawing: ModuleType) -> None:
    """The files of the page are those of the picture; `tests/browser/test_page.py` compares what the page shows."""
    shown = metadata("web-chat.svg")
    assert shown["page"] == drawing.fingerprint(drawing.WEB_CHAT / "page"), STALE
    assert all(
        scheme in (PICTURES / "web-chat.svg").read_text(encoding="utf-8") for scheme in ('class="light"', 'class="dark"')
    )


@pytest.mark.thorough
def test_what_the_web_chat_says(drawing: ModuleType) -> None:
    """The picture shows the answer that the example gives today, and its sources."""
    pytest.importorskip("langchain_openai")
    pytest.importorskip("langchain_classic")
    httpx = pytest.importorskip("httpx")
    with drawing.served_web_chat() as url:
        frames = httpx.post(f"{url}/events", json={"question": drawing.QUESTION, "model": "parrot"}, trust_env=False).text
    data = [json.loads(line.removeprefix("data: ")) for line in frames.splitlines() if line.startswith("data: {")]
    answer = "".join(each.get("token", "") for each in data)
    sources = [source["page_content"] for each in data for source in each.get("source_documents", [])]
    shown = metadata("web-chat.svg")["text"]
    assert answer
    assert sources
    assert all(words(text) in words(shown) for text in (drawing.QUESTION, answer, *sources)), STALE


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_burn_down(drawing: ModuleType) -> None:
    """The same numbers as a migration of the example has today."""
    pytest.importorskip("libcst")
    assert drawing.draw_burn_down() == (PICTURES / "burn-down.svg").read_text(encoding="utf-8"), STALE
