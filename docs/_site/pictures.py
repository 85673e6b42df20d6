"""The pictures of the documentation, made of what really happens: `python docs/_site/pictures.py`.

- `demo.svg`: what `callbridge demo` shows on a terminal.
- `back-pressure.svg`: tokens made against tokens read, for a reader that is slower than the model.
- `burn-down.svg`: what `callbridge report` shows of examples/legacy_project, from the first scan to the last fix.
- `web-chat.svg`: the page of examples/web_chat in Chromium, after an answer, in light and dark.

They need the extras `docs`, `browser` and `examples`, and the last one also needs Chromium and its driver.
`tests/test_pictures.py` says when one is stale. `tests/browser/test_page.py` compares the last one with the page in a browser.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.sax.saxutils import escape

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

import callbridge
from callbridge.__main__ import main
from callbridge.demo import run_demo

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"

TOKENS = 600
CAPACITY = 64
TURNS = 40
"""Turns of the loop that the reader takes for each token."""


STEPS = ((), ("fix",), ("fix", "--unsafe", "--select", "CB2,CB3"), ("fix", "--unsafe", "--level", "2"))
"""What is done to the project of the burn-down, commit by commit."""


class Screen(io.StringIO):
    """A terminal in memory."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Say yes: colour is for terminals."""
        return True


def demo() -> str:
    """Return what the demo writes on a terminal of 80 columns, without the line of versions."""
    screen = Screen()
    with patch.dict(os.environ, {"COLUMNS": "80", "LINES": "60", "TERM": "xterm-256color"}), contextlib.redirect_stdout(screen):
        os.environ.pop("NO_COLOR", None)
        run_demo(delay=0)
    _, _, rest = screen.getvalue().partition("\n\n")
    return rest


def draw_demo() -> str:
    """Return the demo as a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(demo()))
    drawn = console.export_svg(title="python -m callbridge demo", unique_id="demo")
    start, end = drawn.index("@font-face"), drawn.index(".demo-matrix")  # fonts of another site
    return drawn[:start] + drawn[end:].replace("Fira Code, monospace", "ui-monospace, monospace")


class CountingModel(GenericFakeChatModel):
    """A model that makes tokens as fast as it may, and counts them."""

    made: int = 0

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(TOKENS):
            await asyncio.sleep(0)
            self.made += 1
            chunk = ChatGenerationChunk(message=AIMessageChunk(content="tea "))
            if run_manager is not None:
                await run_manager.on_llm_new_token("tea ", chunk=chunk)
            yield chunk


async def made_against_read(*, bounded: bool) -> list[int]:
    """Return how many tokens the model had made when the reader had its first, second, ... token."""
    model = CountingModel(messages=iter([]))
    if bounded:
        events: AsyncIterator[object] = callbridge.astream_events(model, "q", capacity=CAPACITY)
    else:
        events = model.astream_events("q", version="v2")
    made: list[int] = []
    async for event in events:
        if event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content:  # type: ignore[index]
            made.append(model.made)
            for _ in range(TURNS):
                await asyncio.sleep(0)
    return made


def draw_back_pressure() -> str:
    """Return the plot: what LangChain's stream lets a model make, and what a bounded one does."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    grey = "#808080"  # to be read on white and on black
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    with mpl.rc_context({"svg.hashsalt": "callbridge", "svg.fonttype": "none", **dict.fromkeys(inks, grey)}):
        figure, axes = plt.subplots(figsize=(7, 3.6))
        theirs, ours = (asyncio.run(made_against_read(bounded=bounded)) for bounded in (False, True))
        axes.plot(range(1, len(theirs) + 1), theirs, color="#cf7a1c", label="chain.astream_events")
        axes.plot(range(1, len(ours) + 1), ours, color="#2f81f7", label=f"callbridge.astream_events, capacity={CAPACITY}")
        axes.plot([0, TOKENS], [0, TOKENS], color=grey, linestyle=":", linewidth=1)
        axes.set(xlabel="tokens read", ylabel="tokens made (and paid for)", xlim=(0, TOKENS), ylim=(0, TOKENS * 1.05))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        drawn = io.StringIO()
        data = f"LangChain {theirs[::20]} callbridge {ours[::20]}"
        figure.savefig(drawn, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Description": data})
        plt.close(figure)
    return drawn.getvalue()


def draw_burn_down() -> str:
    """Return the report of a project that is migrated in four commits."""
    with tempfile.TemporaryDirectory() as home:
        project = Path(home, "project")
        shutil.copytree(ROOT / "examples" / "legacy_project", project)
        for day, work in enumerate(STEPS):
            if work:
                callbridge_says(project, *work)
            callbridge_says(project, "scan", "--baseline", "known.txt", "--update-baseline", *([] if day else ["--allow-new"]))
            commit(project, f"2026-0{day + 3}-01T12:00:00Z")
        return callbridge_says(project, "report", "--baseline", "known.txt", "--format", "svg")


def callbridge_says(project: Path, *arguments: str) -> str:
    """Run a command of callbridge in the project, and return what it writes."""
    before = Path.cwd()
    os.chdir(project)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()):
            main(arguments)
    finally:
        os.chdir(before)
    return said.getvalue()


def commit(project: Path, date: str) -> None:
    """Commit everything, at a given date."""
    said = (("NAME", "a"), ("EMAIL", "a@b"), ("DATE", date))
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in said}
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "one step"]):
        subprocess.run(["git", *arguments], cwd=project, check=True, env={**os.environ, **who})


WEB_CHAT = ROOT / "examples" / "web_chat"
QUESTION = "What is special about oolong?"
WINDOW = {"width": 1000, "height": 660}

_WEB_CHAT_PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
  <title>The web chat after an answer</title>
  <metadata>{metadata}</metadata>
  <style>
    .dark {{ display: none }}
    @media (prefers-color-scheme: dark) {{ .dark {{ display: inline }} .light {{ display: none }} }}
  </style>
  <image class="light" width="{width}" height="{height}" href="data:image/png;base64,{light}"/>
  <image class="dark" width="{width}" height="{height}" href="data:image/png;base64,{dark}"/>
</svg>
"""


def draw_web_chat() -> str:
    """Return a picture with two screenshots of the page, for light and dark, and what the page shows as text."""
    with served_web_chat() as url, chromium() as driver:
        driver.get(url)
        wait_for(driver, "html[data-ready]")
        driver.find_element("css selector", "#question").send_keys(QUESTION)
        driver.find_element("css selector", "#send").click()
        wait_for(driver, ".answer[aria-busy=false]")
        driver.find_element("css selector", ".sources summary").click()
        driver.execute_script("document.activeElement.blur()")
        metadata = {"page": fingerprint(WEB_CHAT / "page"), "text": driver.find_element("css selector", "#log").text}
        light, dark = (screenshot(driver, scheme) for scheme in ("light", "dark"))
    return _WEB_CHAT_PICTURE.format(**WINDOW, metadata=escape(json.dumps(metadata)), light=light, dark=dark)


def fingerprint(folder: Path) -> str:
    """Return a hash of the files in a folder."""
    content = b"".join(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n") for path in sorted(folder.iterdir()))
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def served_web_chat() -> Iterator[str]:
    """Serve the chat with its fake model, and give its address."""
    sys.path[:0] = [str(WEB_CHAT), str(WEB_CHAT.parent / "chat")]
    from chat_app import build_app
    from chat_model import make_model
    from fake_openai import FakeOpenAI
    from local_server import LocalServer
    from notes import NoteRetriever
    from tea_agent import build_agent

    with FakeOpenAI(delay=0) as model:
        agent = build_agent(make_model("parrot", model.base_url), NoteRetriever())
        with LocalServer(build_app({"parrot": agent})) as server:
            yield server.url


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Give Chromium, with a window of the picture's size."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars", "no-proxy-server"):
        options.add_argument(f"--{argument}")
    driver = Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**WINDOW, "deviceScaleFactor": 2, "mobile": False})
        yield driver
    finally:
        driver.quit()


def wait_for(driver: Any, selector: str) -> None:
    """Wait until an element is there."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60, poll_frequency=0.05).until(lambda _: driver.find_elements("css selector", selector))


def screenshot(driver: Any, scheme: str) -> str:
    """Return the page in a colour scheme as a small PNG, in base64."""
    from PIL import Image

    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    shot, small = Image.open(io.BytesIO(driver.get_screenshot_as_png())), io.BytesIO()
    shot.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


DRAWN = {
    "demo.svg": draw_demo,
    "back-pressure.svg": draw_back_pressure,
    "burn-down.svg": draw_burn_down,
    "web-chat.svg": draw_web_chat,
}
"""The pictures, and what draws them."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PICTURE", choices=[*DRAWN, []], help=f"{', '.join(DRAWN)} (default: all)")
    PICTURES.mkdir(exist_ok=True)
    for name in parser.parse_args().names or DRAWN:
        (PICTURES / name).write_text(DRAWN[name](), encoding="utf-8")
        sys.stdout.write(f"{PICTURES / name}\n")
