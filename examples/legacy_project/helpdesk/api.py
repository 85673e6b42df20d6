"""Server-sent events: answers that arrive token by token."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable

from langchain_classic.callbacks import AsyncIteratorCallbackHandler
from langchain_classic.chains import LLMChain
from langchain_openai import ChatOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from helpdesk.settings import QUESTION, model_name

logger = logging.getLogger(__name__)


async def wrap_done(fn: Awaitable[object], event: asyncio.Event) -> None:
    """Wrap an awaitable with an event that tells when it is done or has failed."""
    try:
        await fn
    except Exception as error:  # noqa: BLE001
        logger.warning("Caught exception: %s", error)
    finally:
        # Signal the aiter to stop.
        event.set()


async def send_message(content: str) -> AsyncIterator[str]:
    """Yield the answer as server-sent events."""
    callback = AsyncIteratorCallbackHandler()
    model = ChatOpenAI(
        model=model_name(),
        streaming=True,
        callbacks=[callback],  # one handler for each request
    )
    chain = LLMChain(llm=model, prompt=QUESTION)

    # Begin a task that runs in the background.
    task = asyncio.create_task(
        wrap_done(chain.acall({"question": content}), callback.done),
    )

    async for token in callback.aiter():
        # Use server-sent-events to stream the response
        yield f"data: {token}\n\n"

    await task


async def collect(question: str) -> dict[str, object]:
    """Return the answer, and in how many pieces it came."""
    handler = AsyncIteratorCallbackHandler()
    model = ChatOpenAI(model=model_name(), streaming=True, callbacks=[handler])
    chain = LLMChain(llm=model, prompt=QUESTION)
    task = asyncio.create_task(chain.ainvoke({"question": question}))
    pieces = []
    async for token in handler.aiter():
        pieces.append(token)
    result = await task
    return {"answer": result["text"], "pieces": len(pieces)}


async def stream_endpoint(request: Request) -> StreamingResponse:
    """Answer as an event stream."""
    return StreamingResponse(send_message(request.query_params["q"]), media_type="text/event-stream")


async def answer_endpoint(request: Request) -> JSONResponse:
    """Answer in one piece."""
    return JSONResponse(await collect(request.query_params["q"]))


app = Starlette(routes=[Route("/stream", stream_endpoint), Route("/answer", answer_endpoint)])
