"""Real handlers, attached to runs and fed from their events: what each records, cell by cell.

A command of its own and no part of the suite, because the handlers are installed for it and some of them do not fit together:

    python -m venv .venv-langfuse
    .venv-langfuse/bin/pip install -e . -r tests/real_handlers/requirements/langfuse.txt
    PYTHONPATH=tests .venv-langfuse/bin/python -m real_handlers langfuse

It prints handler x run x way: equal, the rows of `docs/divergences.md` that the difference belongs to, or what else differs.
It ends with 1 if there is any of the last. Everything goes to servers on loopback, or nowhere.
"""
