"""Every fenced Python block of the documentation runs, and does what the page says.

HTML comments in a page, which readers do not see, tell how:

- `<!-- test: setup` ... `-->`: Python that runs before each of the blocks that follow under the same heading; under the
  page's first heading, before all of them.
- `<!-- test: shared -->`: the block below runs before each of the blocks that follow on the page, too.
- `<!-- test: check` ... `-->`: Python that runs after the block above it, in its namespace. `output` is what the block has
  printed, `previous` what the block before it has printed, check included.
- `<!-- test: skip: reason -->`: the block below does not run.

A block may use `await`, `async for` and `async with` at its top level. Models are real clients of a local fake server.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import importlib
import importlib.util
import inspect
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fake_openai import FakeOpenAI

LEGACY = "langchain_classic" if importlib.util.find_spec("langchain_classic") else "langchain"
"""Where legacy chains are: in `langchain` before its 1.0."""

# Imported here because importing it puts a filter in front of those of the test that imports it.
importlib.import_module(f"{LEGACY}.chains")

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "docs" / "llms.txt"]

pytestmark = [
    # The code before a migration is legacy code.
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
    # The stage to version 3, which LangChain calls experimental.
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

TOKEN = re.compile(
    r"^(?P<level>#+) (?P<heading>[^\n]*)$"
    r"|^<!-- test: (?P<directive>setup|check)\n(?P<hidden>.*?)^-->$"
    r"|^<!-- test: skip: (?P<reason>[^\n]+) -->$"
    r"|^<!-- test: (?P<shared>shared) -->$"
    r"|^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """One fenced block of Python."""

    code: str
    line: int
    setup: str
    skipped: str = ""
    checks: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A heading and the blocks below it."""

    page: Path
    heading: str
    setup: str = ""
    blocks: list[Block] = field(default_factory=list)


def sections(page: Path) -> Iterator[Section]:
    """Return the sections of a page that have blocks of Python."""
    text = page.read_text(encoding="utf-8")
    of_page = Section(page, "")
    section, skipped, shared = of_page, "", False
    for token in TOKEN.finditer(text):
        if token["heading"]:
            yield from [section] if section.blocks else []
            section = of_page if token["level"] == "#" else Section(page, token["heading"])
        elif token["directive"] == "setup":
            section.setup += token["hidden"]
        elif token["directive"] == "check":
            section.blocks[-1].checks.append(token["hidden"])
        elif token["reason"]:
            skipped = token["reason"]
        elif token["shared"]:
            shared = True
        elif token["language"] == "python":
            setup = of_page.setup if section is of_page else of_page.setup + section.setup
            line = text.count("\n", 0, token.start()) + 1
            section.blocks.append(Block(token["code"], line, setup, skipped))
            of_page.setup += token["code"] if shared else ""
            skipped, shared = "", False
    yield from [section] if section.blocks else []


SECTIONS = [section for page in PAGES for section in sections(page)]


def section_id(section: Section) -> str:
    """Return a section's name for a test id."""
    return f"{section.page.relative_to(ROOT)}:{section.heading}"


def run(code: str, namespace: dict[str, Any], file: str, line: int = 1) -> None:
    """Run code, awaiting what it awaits at its top level on the section's loop."""
    code = code.replace("langchain_classic", LEGACY)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compiled = compile("\n" * line + code, file, "exec", flags=flags, dont_inherit=True)
    if compiled.co_flags & inspect.CO_COROUTINE:
        namespace["loop"].run_until_complete(eval(compiled, namespace))
    else:
        exec(compiled, namespace)


@pytest.fixture(autouse=True)
def _clients_are_collected() -> Iterator[None]:
    """OpenAI's clients close themselves when they are collected: here, where no loop of another test runs."""
    yield
    gc.collect()


@pytest.fixture
def _model_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let OpenAI's client talk to the local fake."""
    with FakeOpenAI() as server:
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(name, server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop for all blocks of a section: OpenAI's async client is shared, and bound to the loop of its first use."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.mark.usefixtures("_model_server")
@pytest.mark.parametrize("section", SECTIONS, ids=section_id)
def test_the_examples_of_a_section_do_what_it_says(
    section: Section, loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block runs as it stands, and the checks that belong to it hold."""
    monkeypatch.chdir(tmp_path)
    previous = ""
    for block in section.blocks:
        if block.skipped:
            continue
        namespace: dict[str, Any] = {"__name__": "__main__", "previous": previous, "loop": loop}
        output = io.StringIO()
        run(block.setup, namespace, f"{section.page.name} setup")
        with contextlib.redirect_stdout(output):
            run(block.code, namespace, section.page.name, block.line)
            for check in block.checks:
                namespace["output"] = output.getvalue()
                run(check, namespace, f"{section.page.name} check of line {block.line}")
        previous = output.getvalue()


def test_the_pages_have_examples() -> None:
    """The pages that promise examples are read as having some: a broken fence would drop them silently."""
    counted = {section.page.name for section in SECTIONS}
    assert {"README.md", "MIGRATION.md"} <= counted


def test_every_fence_is_closed_and_has_a_language() -> None:
    """Blocks that are not Python name their language, and each directive is next to a block."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
        assert len(fences) % 2 == 0, page.name
        assert all(fences[::2]), f"{page.name}: a fence without a language"
        directives = len(re.findall(r"^<!-- test: ", text, re.MULTILINE))
        assert directives == sum(
            1 for token in TOKEN.finditer(text) if token["directive"] or token["reason"] or token["shared"]
        ), page.name


def test_the_readme_is_short() -> None:
    """A page that is read, not scrolled."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_page_is_long(page: Path) -> None:
    """You find things without scrolling for long."""
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 400


def test_links_between_pages_lead_somewhere() -> None:
    """Relative links name files that are there, and headings that are there."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            linked = (page.parent / name).resolve() if name else page
            assert linked.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
                assert anchor in slugs, f"{page.name}: {target}"


def test_the_commands_of_the_pages_name_files_that_exist() -> None:
    """`python some/file.py` in a page can be typed as it stands."""
    for page in PAGES:
        for name in re.findall(r"python3? ([\w/]+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
