"""LangGraph's own server, read with LangGraph's own client: what old handlers hear of a run there.

A command of its own and no part of the suite, because the server is installed for it and takes some ten seconds to start:

    python -m venv .venv-server
    .venv-server/bin/pip install -e . langchain "langgraph-cli[inmem]"
    PYTHONPATH=tests .venv-server/bin/python -m real_server

It starts the development server on loopback, without tracing, and stops it. Each graph of `graphs.py` is run there and read in
each way that the client has. Handlers have to hear of it what they hear attached to a run in this process; else it ends
with 1.
"""
