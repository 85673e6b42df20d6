"""A real browser in front of the chat example: the page behind real uvicorn, and a model that waits for the test.

Where `chromium` and `chromedriver` are not installed, the tests skip; with `CALLBRIDGE_BROWSER=required` they fail instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gated_site import Site
    from selenium.webdriver import Chrome

REQUIRED = os.environ.get("CALLBRIDGE_BROWSER") == "required"


def _missing() -> str | None:
    """Return what a browser test needs and is not there."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not on PATH (Debian: apt-get install chromium chromium-driver)"
    try:
        import langchain_classic  # noqa: F401
        import langchain_openai  # noqa: F401
        import selenium  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed (pip install 'callbridge[browser,examples,web]')"
    return None


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a fresh site whose model and tool wait for the test."""
    from gated_site import serving_chat

    with serving_chat() as site:
        yield site


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Give Chromium, for all tests: starting it takes longer than most of them."""
    missing = _missing()
    if missing is not None:
        (pytest.fail if REQUIRED else pytest.skip)(missing)
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    quiet = "disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    for argument in ("headless", "no-sandbox", "disable-dev-shm-usage", *quiet.split()):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)  # everything here is on the loopback interface
        driver = Chrome(options=options, service=Service(executable_path=shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def shots() -> Callable[[Any, str], None]:
    """Give what takes a picture of a page, if `CALLBRIDGE_SHOTS` names a directory to put it in."""
    directory = os.environ.get("CALLBRIDGE_SHOTS")

    def shoot(driver: Any, name: str) -> None:
        if directory:
            driver.save_screenshot(str(Path(directory) / f"{name}.png"))

    return shoot
