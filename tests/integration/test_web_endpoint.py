"""Web endpoints that stream a legacy chain, ASGI and WSGI: browser to endpoint and endpoint to model over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, make_server

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import callbridge
from chat_model import make_model
from fake_openai import FakeOpenAI
from legacy_app import build_chain
from local_server import LocalServer

pytestmark = [
    # The application is legacy code.
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]

QUESTION = "Why?"
ANSWER = "You ask: Why? A parrot can only repeat that, but it streams as well as any other bird."


@pytest.fixture
def model_server() -> Iterator[FakeOpenAI]:
    """Give the fake model, on a port of its own."""
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def asgi_site(model_server: FakeOpenAI) -> Iterator[str]:
    """Give the URL of an ASGI site, whose path is the name of a model."""

    async def tokens(name: str) -> AsyncIterator[str]:
        chain = build_chain(make_model(name, model_server.base_url))
        async with callbridge.astream_call(chain.acall, {"question": QUESTION}) as stream:
            async for text in stream.text():
                yield text

    async def answer(request: Request) -> Response:
        return StreamingResponse(tokens(request.path_params["model"]))

    with LocalServer(Starlette(routes=[Route("/{model}", answer)])) as server:
        yield server.url


class SilentHandler(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def wsgi_site(model_server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of a WSGI site (as Flask and Django are), whose path is the name of a model."""
    monkeypatch.setattr(ServerHandler, "log_exception", lambda self, exc_info: None)

    def tokens(name: str) -> Iterator[bytes]:
        chain = build_chain(make_model(name, model_server.base_url))
        with callbridge.stream_call(chain.run, QUESTION) as stream:
            for text in stream.text():
                yield text.encode()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return tokens(environ["PATH_INFO"].strip("/"))

    with make_server("127.0.0.1", 0, answer, handler_class=SilentHandler) as server:
        thread = threading.Thread(target=server.serve_forever, name="wsgi-site")
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest) -> str:
    """Give the URL of a site of either kind."""
    url: str = request.getfixturevalue(f"{request.param}_site")
    return url


def test_the_client_gets_the_answer_as_a_stream(site: str) -> None:
    """What arrives is the answer, complete and in order."""
    with httpx.stream("GET", f"{site}/parrot") as response:
        assert "".join(response.iter_text()) == ANSWER


def test_a_client_that_leaves_stops_the_model(site: str, model_server: FakeOpenAI) -> None:
    """The endpoint's own end is that of the run behind it: the model's server sees its client go."""
    with httpx.stream("GET", f"{site}/endless") as response:
        assert next(response.iter_text())
    assert model_server.wait_abandoned()


def test_an_error_before_the_model_speaks_ends_the_response(asgi_site: str) -> None:
    """A chain that fails does not leave the client waiting."""
    with httpx.stream("GET", f"{asgi_site}/broken") as response, pytest.raises(httpx.RemoteProtocolError):
        response.read()


def test_an_error_before_the_first_byte_is_a_server_error(wsgi_site: str) -> None:
    """The exception reaches the sync view, whose server answers with what it has for exceptions."""
    assert httpx.get(f"{wsgi_site}/broken").status_code == 500
