"""The table of the wire formats."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.exceptions import HTTPException

from callbridge.errors import ArgumentError
from callbridge.web import FORMATS, EventStreamResponse, TokenFormat, WireFormat, format_named
from lives import chain, watched
from web.serving import reading, serving, sse_site

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_is_a_format(name: str) -> None:
    """Each begins a run of its own."""
    made = format_named(name)
    assert isinstance(made, WireFormat)
    assert made.begin() is not made.begin()


def test_an_object_is_taken_as_it_is() -> None:
    made = TokenFormat()
    assert format_named(made) is made


@pytest.mark.parametrize("bad", ["xml", "", "V2", TokenFormat, None, 3])
def test_what_is_no_format_is_refused_with_what_there_is(bad: Any) -> None:
    """As an argument of ours, and as a request that asks for what does not exist."""
    with pytest.raises(ArgumentError, match="expected one of 'v2', 'text'") as caught:
        format_named(bad)
    assert isinstance(caught.value, HTTPException)
    assert repr(bad)[:20] in str(caught.value)


async def test_a_request_for_an_unknown_format_is_answered_with_400() -> None:
    """Nothing was started, and the client reads what there is."""
    run = chain()

    def respond(request: Any) -> Any:
        from callbridge import astream_events

        return EventStreamResponse(astream_events(run.runnable, run.value), request.url.path[1:])

    with watched():
        async with serving(sse_site(respond)) as site, reading(site, "/xml") as got:
            text = (await got.aread()).decode()
    assert got.status_code == 400
    assert text.startswith("format='xml': expected one of 'v2', 'text', 'json'")
    assert run.book.begun == 0
