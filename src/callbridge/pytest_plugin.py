"""The pytest plugin: a fixture that compares old code with new, and fails the test with a report if they differ.

pytest loads it through the entry point. It imports nothing of LangChain before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from callbridge.testing.comparing import Report

__all__ = ["ParityCheck", "callbridge_parity"]


class ParityCheck:
    """The fixture `callbridge_parity`."""

    report: Report | None = None
    """The latest report."""

    def __call__(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Report:
        """Run `callbridge.testing.parity`, and fail the test if there is a regression.

        Args:
            call: As for `parity`.
            *args: As for `parity`.
            **options: As for `parity`.

        Returns:
            The report.
        """
        from callbridge.testing.comparing import parity

        return self._checked(parity(call, *args, **options))

    async def run(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Report:
        """Run `callbridge.testing.aparity`, and fail the test if there is a regression.

        Args:
            call: As for `aparity`.
            *args: As for `aparity`.
            **options: As for `aparity`.

        Returns:
            The report.
        """
        from callbridge.testing.comparing import aparity

        return self._checked(await aparity(call, *args, **options))

    def _checked(self, report: Report) -> Report:
        __tracebackhide__ = True
        self.report = report
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report


@pytest.fixture
def callbridge_parity() -> ParityCheck:
    """Compare what old code and a new loop make of one run: `callbridge_parity(chain.invoke, x, handler=old, new=loop)`."""
    return ParityCheck()
