"""CB304: handlers that push to a socket."""

from __future__ import annotations

import pytest

from scanning import check

CASES = {
    "a method that says so": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        self.cat.send_ws_message(token, "chat_token")
""",
    "a websocket": """
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler):
    def __init__(self, target):
        self.target = target
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.websocket.send_json({"m": token})
""",
    "socket io": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        self.sio.emit("token", token)
""",
    "django channels": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        self.consumer.send(text_data=token)
""",
    "asgi": """
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler):
    def __init__(self, target):
        self.target = target
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.send({"type": "http.response.body", "body": token})
""",
    "a message of channels": """
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler):
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.send(text_data=token)
""",
    "a send in a server": """
from fastapi import WebSocket
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler):
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.send(token)
""",
    "a send of a base that is a socket's": """
from langchain_core.callbacks import AsyncCallbackHandler
class H(AsyncCallbackHandler, SocketMixin):
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.send(token)
""",
    "a function that was handed over need not be a socket's": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, send):
        self.send = send
    def on_llm_new_token(self, token, **kwargs):
        self.send(token)
""",
    "a generator is another rule": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        self.generator.send(token)
""",
    "only in another hook": """
from langchain_core.callbacks import BaseCallbackHandler
class H(BaseCallbackHandler):
    def __init__(self, target):
        self.target = target
    def on_llm_new_token(self, token, **kwargs):
        pass
    def on_llm_end(self, response, **kwargs):
        self.websocket.send_text("done")
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb304(source: str) -> None:
    check("CB304", source)
