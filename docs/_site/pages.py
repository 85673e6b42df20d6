"""A hook of mkdocs that adds the pages of the site that are not in `docs`.

README, MIGRATION.md, CHANGELOG.md, CONTRIBUTING.md and the examples stay at their places in the repository, and become pages
here. The docstrings become the reference, and the output of `--help` becomes the page of the command line. The hook points
links to the pages of the site, and removes the comments that tell the test suite how to run a block.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from unittest.mock import patch

from mkdocs.structure.files import File, InclusionLevel

import callbridge
from callbridge.__main__ import command_parsers
from callbridge.cures import CURES

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent.parent

MOVED = {
    "README.md": "index.md",
    "MIGRATION.md": "migration.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Pages at the top of the repository, and where they are on the site."""

ALONE = ("index.md", "tutorial.md")

EXAMPLES = ("chat", "web_chat", "worker_chat", "legacy_project")

LISTED = {".py": "python", ".html": "html", ".js": "js", ".jsx": "jsx", ".css": "css", ".toml": "toml"}
"""The types of files that an example's page shows, and their languages."""

REFERENCE = {
    "observe": (
        "Callbacks to events",
        "Read calls, runnables and handlers as streams of events.",
        (
            "stream_call",
            "astream_call",
            "stream_events",
            "astream_events",
            "EventStreamHandler",
            "wrap_handler",
            "EventStream",
            "AsyncEventStream",
            "StreamOptions",
            "HandlerOptions",
        ),
    ),
    "dispatch": (
        "Events to callbacks",
        "Let handlers hear events as if they were attached to the run.",
        ("dispatch_events", "adispatch_events", "drive", "adrive", "CallbackDispatcher"),
    ),
    "events": ("Events", "What events look like, and the translators.", ("CallsToEvents", "EventsToCalls", "Call", "events")),
    "version-3": (
        "Version 3",
        "The bridge to LangChain's content-block protocol.",
        (
            "with_tokens",
            "stream_messages",
            "astream_messages",
            "MessageStream",
            "AsyncMessageStream",
            "EventsToProtocol",
            "ProtocolToEvents",
        ),
    ),
    "channel": ("The channel", "The bounded channel that everything above is built on.", ("open_channel",)),
    "json": ("JSON", "Events as text, and back.", ("dumps", "loads", "UnknownObject")),
    "web": ("Web", "Needs the extra `web`.", ("web",)),
    "relay": ("Relay", "Runs in workers, readers anywhere.", ("relay",)),
    "testing": ("Tests", "Tools for your tests, and for proving that a migration lost nothing.", ("testing",)),
    "classic": ("Old names", "Successors of LangChain's and Lanarky's handlers, with their names.", ("classic", "web.lanarky")),
}
"""The pages of the reference: title, purpose, and the names that the page describes."""

_COMMENT = re.compile(r"^<!-- (?:test|ci|prints|generated|rules|end)\b.*?-->\n?", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>(?![a-z]+:)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs`."""
    for name, text in (*moved(), *examples(), *reference(), *errors(), ("reference/command-line.md", command_line())):
        inclusion = InclusionLevel.NOT_IN_NAV if name.startswith("reference/errors/") else InclusionLevel.INCLUDED
        files.append(File.generated(config, name, content=text, inclusion=inclusion))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Remove the comments for the tests, and point links to the pages of the site."""
    source = page.file.src_uri
    if source in ALONE:  # a page without others beside it needs no list of pages
        page.meta["hide"] = ["navigation"]
    return _LINK.sub(lambda link: turned(link, source), _COMMENT.sub("", markdown))


def moved() -> Iterator[tuple[str, str]]:
    """The pages at the top of the repository."""
    for name, there in MOVED.items():
        yield there, (ROOT / name).read_text(encoding="utf-8")


def turned(link: re.Match[str], page: str) -> str:
    """Return a link of the repository as a link of the site. If the site has no such page, return only its text."""
    here = home_of(page)
    target = PurePosixPath(os.path.normpath(here.parent / link["target"]))
    there = next((place for place in map(site_of, (target, target / "README.md")) if place is not None), None)
    if there is None:
        return link["text"] if not link["target"].endswith(".md") else link[0]
    text = title_of(ROOT / target) if link["text"].endswith(".md") else link["text"]
    return f"[{text}]({os.path.relpath(there, PurePosixPath(page).parent)}{link['anchor'] or ''})"


def title_of(page: Path) -> str:
    """Return the title of a page of the repository. On the site, links show it in place of the file's name."""
    return page.read_text(encoding="utf-8").partition("# ")[2].partition("\n")[0]


def home_of(page: str) -> PurePosixPath:
    """Return the file in the repository that becomes a page of the site."""
    for name, there in MOVED.items():
        if there == page:
            return PurePosixPath(name)
    if page.startswith("examples/"):
        return PurePosixPath(page).with_name("README.md")
    return PurePosixPath("docs", page)


def site_of(target: PurePosixPath) -> PurePosixPath | None:
    """Return the page or picture of the site for a file of the repository."""
    if str(target) in MOVED:
        return PurePosixPath(MOVED[str(target)])
    if target.parts[:1] == ("docs",):
        return PurePosixPath(*target.parts[1:])
    if target.parts[:1] == ("examples",) and len(target.parts) > 1 and target.parts[1] in EXAMPLES:
        return PurePosixPath(f"examples/{target.parts[1]}/index.md")
    if target.parts[:1] == ("reference",):
        return target
    return None


def examples() -> Iterator[tuple[str, str]]:
    """A page for each example: its README, and its code."""
    for name in EXAMPLES:
        home = ROOT / "examples" / name
        readme = home / "README.md"
        parts = [readme.read_text(encoding="utf-8") if readme.exists() else f"# Example: {name}\n"]
        parts.append("## Its code\n")
        for path in sorted(home.rglob("*")):
            if path.suffix in LISTED and "node_modules" not in path.parts and path.is_file():
                code = path.read_text(encoding="utf-8").rstrip("\n")
                parts.append(f"### {path.relative_to(home)}\n\n````{LISTED[path.suffix]}\n{code}\n````\n")
        yield f"examples/{name}/index.md", "\n".join(parts)


def reference() -> Iterator[tuple[str, str]]:
    """The reference, from the docstrings."""
    missing = {*callbridge.__all__} - {name for _, _, names in REFERENCE.values() for name in names} - {*CURES, "__version__"}
    assert not missing, f"not on any page of the reference: {sorted(missing)}"
    for page, (title, about, names) in REFERENCE.items():
        yield f"reference/{page}.md", "\n\n".join([f"# {title}", about, *map(described, names)])


def described(name: str) -> str:
    """Return the Markdown for a name in the reference. The two streams show members of their base, which has no page."""
    if name in ("EventStream", "AsyncEventStream"):
        return f"::: callbridge.{name}\n    options:\n      inherited_members: [result, statistics]"
    return f"::: callbridge.{name}"


def errors() -> Iterator[tuple[str, str]]:
    """A page for each error, and one with the tree of all errors."""
    tree = re.search(r"```\n(.*?)```", callbridge.errors.__doc__ or "", re.DOTALL)
    assert tree is not None
    links = "\n".join(f"- [`{name}`](errors/{name}.md): {cure.cause}" for name, cure in sorted(CURES.items()))
    yield "reference/errors.md", f"# Errors\n\n```text\n{tree[1]}```\n\n{links}\n"
    for name, cure in CURES.items():
        home = "" if hasattr(callbridge, name) else "web."
        shown = f"::: callbridge.{home}{name}\n    options:\n      show_root_heading: false\n"
        back = "[All errors and warnings](../errors.md)"
        text = f"# {name}\n\n**Cause.** {cure.cause}\n\n**Cure.** {cure.cure}\n\n## The class\n\n{shown}\n{back}\n"
        yield f"reference/errors/{name}.md", text


def command_line() -> str:
    """The help of each command."""
    parts = ["# Command line\n"]
    with patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}):
        for name, parser in command_parsers().items():
            parts.append(f"## {name}\n\n```text\n{parser.format_help()}```\n")
    return "\n".join(parts)
