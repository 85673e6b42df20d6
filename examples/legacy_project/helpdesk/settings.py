"""Settings, from the environment."""

import os

from langchain_core.prompts import ChatPromptTemplate


def model_name() -> str:
    """Return the name of the model that answers."""
    return os.environ.get("HELPDESK_MODEL", "gpt-4o-mini")


QUESTION = ChatPromptTemplate.from_messages([("system", "You work at a help desk. Be brief."), ("human", "{question}")])
