"""The chat example in Chromium: what a person sees, and what the server does when that person leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from gated_site import Site

QUESTION = "What is special about oolong?"
SECONDS = 60
"""How long a page may take, on a machine that does other things as well."""

Shoot = Callable[[Any, str], None]

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
each_transport = pytest.mark.parametrize("transport", ["eventsource", "fetch", "websocket"])


class Page:
    """The page as a person uses it, waiting for things to appear."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url
        self.open()

    def open(self) -> None:
        """Load the page, or load it anew."""
        self.driver.get(self.url)
        self.until(lambda: self.driver.find_elements("css selector", "html[data-ready]"))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, SECONDS, poll_frequency=0.05).until(lambda _: condition())

    def one(self, selector: str) -> Any:
        """Return an element."""
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """Return the text that is seen of an element; none if it is not shown."""
        text: str = self.one(selector).text
        return text

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element, which may not be there yet, shows just this text."""
        found = self.driver.find_elements
        self.until(lambda: [each.text for each in found("css selector", selector)] == [text])

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        actions = ActionChains(self.driver)
        actions = actions.key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT) if shift else actions.send_keys(*keys)
        actions.perform()

    def choose(self, transport: str, model: str = "parrot") -> None:
        """Choose how the answer is sent, and who gives it."""
        self.one(f"input[value={transport}]").find_element("xpath", "..").click()
        self.one(f"#model option[value={model}]").click()

    def ask(self, question: str = QUESTION) -> None:
        """Ask with the mouse."""
        self.one("#question").send_keys(question)
        self.one("#send").click()

    def focused(self) -> str:
        """Return the id or text of what has the focus."""
        element = self.driver.switch_to.active_element
        return str(element.get_attribute("id") or element.get_attribute("value") or element.text)


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Page]:
    """Give the page, freshly loaded; in the end it is left, so that nothing is open, and has had nothing to complain of."""
    browser.set_window_size(1000, 800)
    yield Page(browser, site.url)
    browser.get("about:blank")
    complaints = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not complaints


def sensible(site: Site) -> None:
    """Let the model ask for the tool, and the tool answer."""
    site.model.gate.let(4 + 2)  # the role, three pieces of the call, why it ends, what it cost
    site.tool.let(1)


@each_transport
def test_tokens_are_seen_as_they_arrive(page: Page, site: Site, transport: str, shots: Shoot) -> None:
    """Each word is on the page before the model says the next; the answer is announced when it is whole."""
    shots(page.driver, "idle")
    page.choose(transport)
    page.ask()
    sensible(site)
    seen = ""
    site.model.gate.let(1)  # the role
    for word in ("I", " looked", " it", " up", " for", " you:"):
        seen += word
        page.shows(".answer .text", seen)  # the model has said this word and waits
        site.model.gate.let(1)
    shots(page.driver, "streaming")
    assert page.one(".answer").get_attribute("aria-busy") == "true"
    site.model.gate.open()
    page.shows("#status", "Done")
    assert page.text(".answer .text").startswith("I looked it up for you: Oolong lies between green and black.")
    assert page.one(".answer").get_attribute("aria-busy") == "false"
    shots(page.driver, "done")


def test_the_picture_shows_this_page(page: Page, site: Site) -> None:
    """The picture of the documentation says what the page says."""
    picture = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "web-chat.svg"
    drawn = ElementTree.parse(picture).find("{http://www.w3.org/2000/svg}metadata")
    assert drawn is not None
    site.tool.open()
    site.model.gate.open()
    page.ask()
    page.shows("#status", "Done")
    page.one(".sources summary").click()
    stale = "the picture is stale: draw it anew with `python docs/_site/pictures.py web-chat.svg`"
    assert page.text("#log") == json.loads(drawn.text or "")["text"], stale


@each_transport
def test_what_tools_do_and_where_the_answer_comes_from_is_seen(page: Page, site: Site, transport: str, shots: Shoot) -> None:
    """The tool is shown while it works, then as done; the documents that it found are there before the answer."""
    page.choose(transport)
    page.ask()
    site.model.gate.let(6)
    page.shows(".tools .active", "search_notes oolong")
    page.shows("#status", "Using search_notes")
    shots(page.driver, "tool")
    site.tool.let(1)
    page.shows(".tools .done", "search_notes oolong")
    page.shows(".sources summary", "2 sources")
    page.one(".sources summary").click()
    titles = [each.text for each in page.driver.find_elements("css selector", ".sources cite")]
    assert titles == ["Oolong", "Water"]
    assert page.text(".answer .text") == ""
    site.model.gate.open()
    page.shows("#status", "Done")
    page.driver.execute_script("scrollTo(0, document.documentElement.scrollHeight)")
    shots(page.driver, "sources")


@each_transport
def test_stop_cancels_the_model(page: Page, site: Site, transport: str, shots: Shoot) -> None:
    """The provider loses its client; what was said stays, and the next question is answered."""
    page.choose(transport, "endless")
    page.ask()
    site.model.gate.let(3)
    page.until(lambda: page.text(".answer .text").startswith("and on"))
    page.one("#stop").click()
    assert site.model.wait_abandoned()
    page.shows("#status", "Stopped")
    page.shows(".note", "Stopped.")
    assert page.text(".answer .error") == ""  # to stop is no error
    shots(page.driver, "stopped")
    assert page.focused() == "question"

    site.model.gate.open()
    site.tool.open()
    page.choose(transport, "parrot")
    page.ask()
    page.shows("#status", "Done")
    assert "Oolong" in page.driver.find_elements("css selector", ".answer .text")[1].text
    assert site.model.abandoned == 1


@each_transport
def test_a_stop_while_the_tool_works_ends_the_run(page: Page, site: Site, transport: str) -> None:
    """The model is not asked a second time."""
    page.choose(transport)
    page.ask()
    site.model.gate.let(6)
    page.shows(".tools .active", "search_notes oolong")
    page.one("#stop").click()
    page.shows("#status", "Stopped")
    page.until(lambda: not page.driver.find_elements("css selector", ".tools .active"))
    page.open()  # WebSockets are connections of the page
    page.until(lambda: site.tasks() == 1)
    assert len(site.model.requests) == 1


@each_transport
def test_a_reload_leaves_no_task_behind(page: Page, site: Site, transport: str) -> None:
    """In the middle of an answer: the run ends, the provider loses its client, and the page is as new."""
    page.choose(transport)
    page.ask()
    sensible(site)
    site.model.gate.let(3)
    page.until(lambda: page.text(".answer .text").startswith("I looked"))
    assert site.tasks() > 1
    page.open()
    assert site.model.wait_abandoned()
    page.until(lambda: site.tasks() == 1)
    assert not page.driver.find_elements("css selector", ".turn")
    assert page.text("#status") == "Ready"


@each_transport
def test_an_error_in_mid_answer_is_shown(page: Page, site: Site, transport: str, shots: Shoot) -> None:
    """What was said before stays; the page says that it failed, and nothing of the inside. Then it can be asked again."""
    site.model.gate.open()
    site.tool.open()
    page.choose(transport, "torn")
    page.ask()
    page.shows(".answer .error", "Internal Server Error")
    page.shows("#status", "Failed")
    assert page.text(".answer .text") == "I looked it"
    assert page.one(".answer .error").get_attribute("role") == "alert"
    assert "parrot has flown" not in page.driver.page_source
    shots(page.driver, "error")
    page.choose(transport, "parrot")
    page.ask()
    page.shows("#status", "Done")


@each_transport
def test_an_error_at_once_is_shown(page: Page, site: Site, transport: str) -> None:
    """A provider that answers with HTTP 500."""
    page.choose(transport, "broken")
    page.ask()
    page.shows(".answer .error", "Internal Server Error")
    page.shows("#status", "Failed")
    assert len(site.model.requests) == 1  # EventSource has not asked again


def test_all_of_it_works_from_the_keyboard(page: Page, site: Site) -> None:
    """Typing starts at once, Enter sends, Escape stops, Tab reaches everything, and the focus can be seen."""
    from selenium.webdriver.common.keys import Keys

    assert page.focused() == "question"
    page.press("two")
    page.press(Keys.ENTER, shift=True)
    page.press("lines")
    assert page.one("#question").get_attribute("value") == "two\nlines"
    page.press(Keys.ENTER)
    site.model.gate.let(6)
    page.shows(".question .text", "two\nlines")
    page.shows(".tools .active", "search_notes lines")
    page.press(Keys.ESCAPE)
    page.shows("#status", "Stopped")
    assert page.focused() == "question"

    page.open()
    page.press(Keys.TAB, shift=True)
    assert page.focused() == "How hot is the water for sencha?"
    page.press(*[Keys.TAB] * 2, shift=True)
    assert page.focused() == QUESTION
    page.press(Keys.TAB, shift=True)
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.one("input[value=websocket]").is_selected()
    page.press(Keys.TAB)
    assert page.focused() == QUESTION
    page.press(Keys.ENTER)
    site.model.gate.open()
    site.tool.open()
    page.shows("#status", "Done")
    assert page.focused() == "question"
    page.press(Keys.TAB, shift=True)
    page.press(Keys.SPACE)
    page.until(lambda: page.one(".sources").get_attribute("open") is not None)


def test_the_focus_can_be_seen_wherever_it_is(page: Page) -> None:
    """Tab reaches every control, and each has a ring then."""
    from selenium.webdriver.common.keys import Keys

    page.press(*[Keys.TAB] * 4, shift=True)
    reached = []
    while page.focused() != "model":  # from the radio buttons back to the first control
        page.press(Keys.TAB, shift=True)
    while page.focused() != "send":
        reached.append(page.focused())
        page.press(Keys.TAB)
        ring = page.driver.execute_script(
            "const at = document.activeElement; const seen = at.type === 'radio' ? at.nextElementSibling : at;"
            "const style = getComputedStyle(seen); return [style.outlineStyle, style.outlineWidth]"
        )
        assert ring == ["solid", "3px"], page.focused()
    assert reached[:3] == ["model", "eventsource", QUESTION]
    assert reached[-1] == "question"


def test_everything_has_a_name_for_those_who_do_not_see_it(page: Page) -> None:
    """Each control, and each region that is announced."""
    shown = page.driver.execute_script(
        "const all = document.querySelectorAll('button, select, textarea, input, fieldset, section, [role=log]');"
        "return [...all].filter((each) => each.checkVisibility())"
    )
    assert len(shown) == 12
    assert [each.get_attribute("outerHTML") for each in shown if not each.accessible_name] == []
    assert page.one("#status").aria_role == "status"
    assert page.one("#log").aria_role == "log"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_is_wide_enough(page: Page, site: Site, scheme: str, shots: Shoot) -> None:
    """At 360 pixels nothing sticks out, neither before nor after the longest of words."""
    emulate = page.driver.execute_cdp_cmd
    emulate("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 720, "deviceScaleFactor": 2, "mobile": True})
    emulate("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    try:
        page.open()
        assert widths(page) == (360, 360)
        shots(page.driver, f"phone-{scheme}-idle")
        site.model.gate.open()
        site.tool.open()
        page.ask("Donaudampfschifffahrtsgesellschaftskapitaensmuetzenschirm" * 3 + " oolong")
        page.shows("#status", "Done")
        page.one(".sources summary").click()
        assert widths(page) == (360, 360)
        assert page.one("#send").size["height"] >= 44  # what a thumb needs
        shots(page.driver, f"phone-{scheme}")
    finally:
        emulate("Emulation.clearDeviceMetricsOverride", {})
        emulate("Emulation.setEmulatedMedia", {"features": []})


def widths(page: Page) -> tuple[int, int]:
    """Return the widths of the window and of its content, in CSS pixels."""
    found = page.driver.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
    return found[0], found[1]


def test_dark_and_light_can_be_read(page: Page, site: Site, shots: Shoot) -> None:
    """Contrast of text and ground is at least 4.5 to 1 (WCAG AA) in both."""
    for scheme in ("light", "dark"):
        page.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        colors = {
            name: page.driver.execute_script(
                "const probe = document.createElement('i'); probe.style.color = `var(--${arguments[0]})`;"
                "document.body.append(probe); const found = getComputedStyle(probe).color; probe.remove(); return found",
                name,
            )
            for name in ("text", "soft", "accent", "on-accent", "bad", "ground", "surface", "tint", "bad-tint")
        }
        pairs = [(front, back) for front in ("text", "soft", "accent") for back in ("ground", "surface")]
        for front, back in [*pairs, ("text", "tint"), ("accent", "tint"), ("on-accent", "accent"), ("bad", "bad-tint")]:
            assert contrast(colors[front], colors[back]) >= 4.5, (scheme, front, back)
    site.model.gate.open()
    site.tool.open()
    page.ask()
    page.shows("#status", "Done")
    shots(page.driver, "dark")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours `rgb(r, g, b)`, as WCAG 2 defines it."""
    light = sorted(luminance(each) for each in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of a colour."""
    parts = [int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
