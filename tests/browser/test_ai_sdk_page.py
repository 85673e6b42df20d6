"""The AI SDK page of the chat example in a real browser: React, `useChat`, and our format "ai-sdk"."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gated_site import Site

QUESTION = "What is special about oolong?"
SECONDS = 60

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")


@pytest.fixture(scope="session")
def page_home() -> Path:
    """Build the page, with the packages of the lock file, which are kept in a cache folder."""
    from ai_sdk.build import HOME, build

    lock = hashlib.sha256((HOME / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "callbridge-clients" / f"page-{lock}"
    try:
        return build(cache / "dist", cache)
    except (OSError, subprocess.CalledProcessError) as error:
        said = " ".join(str(getattr(error, "stderr", error)).split())[-300:]
        is_required = os.environ.get("CALLBRIDGE_BROWSER") == "required" or os.environ.get("CI") == "true"
        (pytest.fail if is_required else pytest.skip)(f"the page could not be built: {said}")


@pytest.fixture
def site(page_home: Path) -> Iterator[Site]:
    """Give a fresh site whose model and tool wait for the test."""
    from gated_site import serving_chat

    with serving_chat(page_home) as site:
        yield site


class Page:
    """The page as a person uses it, waiting for things to appear."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        driver.get(url)
        self.until(lambda: driver.find_elements("css selector", "html[data-ready] #question"))

    def until(self, condition: Callable[[], object]) -> None:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        patient = WebDriverWait(self.driver, SECONDS, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException])
        patient.until(lambda _: condition())

    def texts(self, selector: str) -> list[str]:
        return [each.text for each in self.driver.find_elements("css selector", selector)]

    def shows(self, selector: str, *texts: str) -> None:
        self.until(lambda: self.texts(selector) == list(texts))

    def click(self, selector: str) -> None:
        self.until(lambda: self.driver.find_elements("css selector", selector))
        self.driver.find_element("css selector", selector).click()

    def ask(self, question: str = QUESTION, model: str = "parrot") -> None:
        self.click(f"#model option[value={model}]")
        self.driver.find_element("css selector", "#question").send_keys(question)
        self.click("#send")


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Page]:
    """Give the page, freshly loaded; in the end it is left, so that nothing is open."""
    browser.set_window_size(1000, 800)
    yield Page(browser, f"{site.url}/ai-sdk/")
    browser.get("about:blank")
    complaints = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [each for each in complaints if "/api/chat" not in each]


def test_a_question_is_answered_token_by_token_with_its_tool_and_sources(page: Page, site: Site) -> None:
    """The tool while it works and when it is done, the words as the model says them, and where the answer comes from."""
    page.ask()
    site.model.gate.let(4 + 2)  # the role, three pieces of the call, why it ends, what it cost
    page.shows(".tool.active", "search_notes oolong")
    site.tool.let(1)
    page.shows(".tool.done", "search_notes oolong")
    page.shows(".sources summary", "2 sources")
    site.model.gate.let(1)
    seen = ""
    for word in ("I", " looked", " it"):
        seen += word
        page.shows(".answer .text", seen)
        site.model.gate.let(1)
    page.shows("#status", "streaming")
    site.model.gate.open()
    page.shows("#status", "ready")
    (answer,) = page.texts(".answer .text")
    assert answer.startswith("I looked it up for you: Oolong lies between green and black.")
    page.click(".sources summary")
    page.shows(".sources cite", "Oolong", "Water")


def test_stop_cancels_the_model_and_retry_asks_again(page: Page, site: Site) -> None:
    """The provider loses its client; what was said stays until the question is asked once more."""
    page.ask(model="endless")
    site.model.gate.let(3)
    page.until(lambda: page.texts(".answer .text") and page.texts(".answer .text")[0].startswith("and on"))
    page.click("#stop")
    assert site.model.wait_abandoned()
    page.shows("#status", "ready")
    assert page.texts(".error") == []
    site.model.gate.open()
    site.tool.open()
    page.click("#model option[value=parrot]")
    page.click("#retry")
    page.until(lambda: page.texts("#status") == ["ready"] and "Oolong lies" in "".join(page.texts(".answer .text")))
    assert page.texts(".question .text") == [QUESTION]


def test_an_error_in_mid_answer_is_seen_and_retried(page: Page, site: Site) -> None:
    """What was said stays, nothing of the inside is told, and the page can ask again."""
    site.model.gate.open()
    site.tool.open()
    page.ask(model="torn")
    page.shows(".error", "Internal Server Error")
    page.shows("#status", "error")
    page.shows(".answer .text", "I looked it")
    assert "parrot has flown" not in page.driver.page_source
    page.click("#model option[value=parrot]")
    page.click("#retry")
    page.until(lambda: "Oolong lies" in "".join(page.texts(".answer .text")))
    page.shows(".error")


def test_a_refusal_is_seen(page: Page, site: Site) -> None:
    """What the server has to say against a question stands where errors stand."""
    page.ask("x" * 2001)
    page.shows(".error", "A question has 2000 characters at most.")
