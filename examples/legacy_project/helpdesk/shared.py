"""The status line: one model and one handler for all requests, made when the module is imported."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from helpdesk.settings import QUESTION, model_name


class LastAnswerHandler(BaseCallbackHandler):
    """Keeps the last answer."""

    def __init__(self) -> None:
        self.answer = ""

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        """Forget the answer before."""
        self.answer = ""

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        """Keep a token."""
        self.answer += token


last_answer = LastAnswerHandler()
chat = ChatOpenAI(model=model_name(), streaming=True, callbacks=[last_answer])


async def status(request: Request) -> PlainTextResponse:
    """Answer, from what the handler has kept."""
    await (QUESTION | chat).ainvoke({"question": request.query_params["q"]})
    return PlainTextResponse(last_answer.answer)


app = Starlette(routes=[Route("/status", status)])
