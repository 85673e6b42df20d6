"""The chat window: a websocket that a handler pushes tokens to."""

from typing import Any

from langchain_classic.chains import LLMChain
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_openai import ChatOpenAI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from helpdesk.settings import QUESTION, model_name


class StreamingLLMCallbackHandler(AsyncCallbackHandler):
    """Pushes tokens to a websocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Push a token."""
        await self.websocket.send_json({"sender": "bot", "message": token, "type": "stream"})


async def chat(websocket: WebSocket) -> None:
    """Answer one question."""
    await websocket.accept()
    question = await websocket.receive_text()
    stream_handler = StreamingLLMCallbackHandler(websocket)
    chain = LLMChain(llm=ChatOpenAI(model=model_name(), streaming=True), prompt=QUESTION)
    await websocket.send_json({"sender": "bot", "message": "", "type": "start"})
    result = await chain.acall({"question": question}, callbacks=[stream_handler])
    await websocket.send_json({"sender": "bot", "message": result["text"], "type": "end"})
    await websocket.close()


app = Starlette(routes=[WebSocketRoute("/chat", chat)])
