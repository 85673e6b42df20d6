"""The agent: it thinks aloud, and the terminal shows only its final answer."""

from langchain_classic.agents import AgentType, initialize_agent
from langchain_classic.callbacks import FinalStreamingStdOutCallbackHandler
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from helpdesk.settings import model_name


@tool
def opening_hours(day: str) -> str:
    """Tell the opening hours on a day of the week."""
    return f"On {day} from nine to five."


def ask_agent(question: str) -> str:
    """Print the final answer as it comes, and return it."""
    llm = ChatOpenAI(
        model=model_name(),
        streaming=True,
        callbacks=[FinalStreamingStdOutCallbackHandler()],
    )
    agent = initialize_agent([opening_hours], llm, agent=AgentType.ZERO_SHOT_REACT_DESCRIPTION)
    return agent.run(question)
