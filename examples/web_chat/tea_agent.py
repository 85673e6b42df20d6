"""A legacy agent executor that looks things up before it answers. It knows neither the web nor callbridge."""

from __future__ import annotations

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import create_retriever_tool

try:
    from langchain_classic.agents import AgentExecutor, create_tool_calling_agent
except ImportError:  # before langchain 1.0
    from langchain.agents import AgentExecutor, create_tool_calling_agent

__all__ = ["build_agent"]


def build_agent(model: BaseChatModel, retriever: BaseRetriever) -> AgentExecutor:
    """Return the agent that answers `{"input": ...}` with `{"output": ...}`."""
    tools = [create_retriever_tool(retriever, "search_notes", "Search the notes about tea.")]
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "Answer from the notes about tea, in a few sentences."),
            ("human", "{input}"),
            MessagesPlaceholder("agent_scratchpad"),
        ]
    )
    return AgentExecutor(agent=create_tool_calling_agent(model, tools, prompt), tools=tools)
