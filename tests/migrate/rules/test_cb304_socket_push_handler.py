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
    "the steps of an agent": """
from langchain_core.callbacks import AsyncCallbackHandler
class Steps(AsyncCallbackHandler):
    def __init__(self, websocket):
        self.websocket = websocket
    async def on_agent_action(self, action, **kwargs):  # CB304 adapter
        await self.websocket.send_json({"text": action.log})
    async def on_tool_end(self, output, **kwargs):
        await self.websocket.send_json({"text": str(output)})
""",
    "steps that are counted, logged or traced are fine": """
import logging
from langchain_core.callbacks import BaseCallbackHandler
log = logging.getLogger(__name__)
class Count(BaseCallbackHandler):
    def __init__(self, tracker):
        self.tracker = tracker
        self.tools = 0
    def on_tool_start(self, serialized, text, **kwargs):
        self.tools += 1
        log.info("tool %s", text)
        self.tracker.emit("tool", text)
    def on_agent_finish(self, finish, **kwargs):
        self.tracker.send_event("done", finish.log)
""",
    "two classes below a base that is not there": """
from project.sockets import BaseSocketCallbackHandler
class Base(BaseSocketCallbackHandler):
    def __init__(self, ws):
        self.ws = ws
class Show(Base):
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.ws.send_json({"token": token})
""",
    "below a base of any name, by the hook of tokens": """
from project.streams import Streamer
class Base(Streamer):
    pass
class Show(Base):
    async def on_llm_new_token(self, token, **kwargs):  # CB304 adapter
        await self.websocket.send_text(token)
""",
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES)
def test_cb304(source: str) -> None:
    check("CB304", source)
