"""The rooms of the package: what the files of each may import, and where their tests are. `test_contracts` holds them to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


class Import(NamedTuple):
    """One imported name: `from module import name`, or `import module`."""

    module: str
    name: str
    line: int


PURE_STDLIB = words(
    "__future__ abc ast base64 bisect collections contextlib copy dataclasses enum functools heapq inspect itertools json math "
    "operator re string types typing uuid"
)
LANGCHAIN_DATA = ("agents", "documents", "load", "messages", "outputs", "prompt_values")
WAITING = words("asyncio anyio trio threading queue concurrent selectors select signal socket multiprocessing")
WEB = words("starlette fastapi flask django uvicorn aiohttp httpx requests streamlit gradio")


def may_import_core(found: Import) -> bool:
    """`core/`: data only. No waiting, no threads, no clock, no randomness, no logging, no LangChain machinery."""
    top, _, rest = found.module.partition(".")
    if top == "callbridge":
        return (rest or found.name).split(".")[0] in ("core", "errors", "compat", "events")
    if top == "langchain_core":
        return (rest or found.name).split(".")[0] in LANGCHAIN_DATA
    if top == "uuid":
        return found.name in ("UUID", "NAMESPACE_OID", "NAMESPACE_URL", "uuid5")  # names hashed: no randomness, no clock
    return top in PURE_STDLIB or top == "typing_extensions"


def may_import_channel(found: Import) -> bool:
    """`channel/`: the standard library, anyio and trio, and the pure core. Nothing of LangChain."""
    top, _, rest = found.module.partition(".")
    if top == "callbridge":
        return (rest or found.name).split(".")[0] in ("core", "errors", "channel", "internals")
    return top in sys.stdlib_module_names or top in ("anyio", "trio", "sniffio", "typing_extensions")


def may_import_running(found: Import) -> bool:
    """`running/` knows a run and the object that it reports to, but not how events are made or read."""
    return may_import_ours(found, "core", "channel", "running", "errors", "internals")


def may_import_observe(found: Import) -> bool:
    """`observe/`: callbacks → events. Knows runs that a stream owns, and nothing of the way back."""
    return may_import_ours(found, "core", "channel", "running", "observe", "errors", "internals", "compat", "events")


def may_import_dispatch(found: Import) -> bool:
    """`dispatch/`: events → callbacks. It does not know where the events come from."""
    return may_import_ours(found, "core", "channel", "dispatch", "errors", "internals", "events")


def may_import_ours(found: Import, *rooms: str) -> bool:
    """Return whether an import is of one of these rooms, or of third-party code other than a web framework."""
    top, _, rest = found.module.partition(".")
    return (rest or found.name).split(".")[0] in rooms if top == "callbridge" else top not in WEB


def may_import_codec(found: Import) -> bool:
    """`codec/`: the standard library, data of LangChain and pydantic, and the pure core."""
    top, _, rest = found.module.partition(".")
    if top == "callbridge":
        return (rest or found.name).split(".")[0] in ("codec", "core", "errors")
    data = found.module.split(".")[1:2] in [[name] for name in LANGCHAIN_DATA] or found.name == "AddableDict"
    return (
        data
        if top == "langchain_core"
        else top in ("pydantic", "pydantic_core") or (top in sys.stdlib_module_names and top not in WAITING)
    )


def may_import_relay(found: Import) -> bool:
    """`relay/`: the standard library, anyio, redis-py, and of ours the channel, the codec, the pure core and the errors.

    Neither `web` nor the streams: it publishes whatever is an iterator of events, and what it returns is one.
    """
    top, _, rest = found.module.partition(".")
    if top == "callbridge":
        return (rest or found.name).split(".")[0] in ("channel", "codec", "core", "errors", "events", "relay")
    return top in sys.stdlib_module_names or top in ("anyio", "redis", "typing_extensions")


def may_import_web(found: Import) -> bool:
    """`web/`: everything but the migration tool and the relay; of web frameworks Starlette and what it needs for events.

    What can be resumed is told by what it has, and the followers of a relay have it: neither of the two knows the other.
    """
    top = found.module.split(".")[0]
    return (top not in WEB or top == "starlette") and not found.module.startswith(("callbridge.migrate", "callbridge.relay"))


MIGRATE_EXTRA = ("libcst", "tomli", "tomllib", "tqdm")


def may_import_migrate(found: Import) -> bool:
    """`migrate/`: the standard library, itself, our errors, the `migrate` extra. No LangChain: it reads code and runs none."""
    top, _, rest = found.module.partition(".")
    if top == "callbridge":
        return (rest or found.name).split(".")[0] in ("cures", "errors", "migrate")
    return top in sys.stdlib_module_names or top in MIGRATE_EXTRA


def may_import_testing(found: Import) -> bool:
    """`testing/`: everything but web frameworks and the migration tool; pytest is asked for in `pytest_plugin.py` alone."""
    mine = found.module.split(".")[0] not in (*WEB, "pytest")
    return mine and not found.module.startswith("callbridge.migrate")


def may_import_errors(found: Import) -> bool:
    """`errors.py`, `cures.py`: the standard library."""
    return found.module.split(".")[0] in sys.stdlib_module_names


def may_import_package(found: Import) -> bool:
    """`__init__.py`: itself, and what resolves names."""
    return found.module.split(".")[0] in ("__future__", "callbridge", "importlib", "sys", "types", "typing")


def may_import_root(found: Import) -> bool:
    """Other files at the root: no web frameworks."""
    return found.module.split(".")[0] not in WEB


CONTRACTS: dict[str, Callable[[Import], bool]] = {
    "core": may_import_core,
    "channel": may_import_channel,
    "running": may_import_running,
    "observe": may_import_observe,
    "dispatch": may_import_dispatch,
    "codec": may_import_codec,
    "relay": may_import_relay,
    "web": may_import_web,
    "migrate": may_import_migrate,
    "testing": may_import_testing,
    "errors.py": may_import_errors,
    "cures.py": may_import_errors,
    "__init__.py": may_import_package,
    "": may_import_root,
}


MIGRATE_ROOMS = {
    "": words(""),
    "analysis": words("analysis"),
    "rules": words("analysis rules"),
    "edits": words("analysis rules edits"),
    "outputs": words("analysis rules outputs"),
    "commands": words("analysis rules edits outputs commands"),
}
"""Room of `migrate/` to the rooms that it may import; what lies beside the rooms is everybody's."""


MIRRORED = words("core channel codec observe dispatch relay running testing web")
"""Rooms whose tests are in a folder of the same name, one for each file or listed here."""

TESTED_ELSEWHERE = MappingProxyType(
    {
        "core/arguments.py": "observe/test_bad_input.py",
        "core/calls.py": "core/test_round_trip.py",
        "core/check.py": "test_events.py",
        "core/facts.py": "core/test_projection.py",
        "core/filters.py": "observe/test_against_langchain.py",
        "core/methods.py": "test_contracts.py",
        "core/protocol/envelope.py": "core/protocol/test_protocol_decode.py",
        "core/protocol/table.py": "core/protocol/test_to_chunks.py",
        "core/protocol/whole.py": "core/protocol/test_to_chunks.py",
        "core/runs.py": "core/test_encode.py",
        "core/stand_in.py": "dispatch/test_duplicates.py",
        "core/sources.py": "core/test_projection.py",
        "core/status.py": "observe/test_terminals.py",
        "channel/state.py": "channel/test_model.py",
        "channel/statistics.py": "channel/test_memory.py",
        "codec/allowed.py": "codec/test_codec_decode.py",
        "codec/opened.py": "codec/test_codec_round_trip.py",
        "codec/unknown.py": "codec/test_codec_decode.py",
        "observe/callers.py": "observe/test_handler.py",
        "observe/event_sender.py": "observe/test_overflow.py",
        "observe/options.py": "observe/test_bad_input.py",
        "observe/output_taps.py": "observe/test_against_langchain.py",
        "observe/own_events.py": "observe/test_runnables.py",
        "observe/owned_run_handler.py": "observe/test_streams.py",
        "observe/reading.py": "observe/test_streams.py",
        "observe/repeated_calls.py": "observe/test_invisible.py",
        "relay/addresses.py": "relay/test_relay.py",
        "relay/follow.py": "relay/test_relay.py",
        "relay/hub.py": "relay/test_relay.py",
        "relay/keeper.py": "relay/test_relay.py",
        "relay/log.py": "relay/test_relay.py",
        "relay/memory.py": "relay/test_relay.py",
        "relay/patience.py": "relay/test_relay.py",
        "relay/publication.py": "relay/test_relay.py",
        "relay/publish.py": "relay/test_relay.py",
        "relay/records.py": "relay/test_relay.py",
        "relay/redis.py": "relay/test_relay.py",
        "relay/scripts.py": "relay/test_relay.py",
        "relay/sqlite.py": "relay/test_relay.py",
        "relay/statelog.py": "relay/test_relay.py",
        "running/branch_ends.py": "running/test_remnants.py",
        "running/cancelling.py": "running/test_entered_loops.py",
        "running/interpreter_exit.py": "matrix/test_matrix.py",
        "running/loop_tasks.py": "running/test_remnants.py",
        "running/owned_runs.py": "running/test_leaving.py",
        "running/pool_jobs.py": "running/test_remnants.py",
        "running/reporter.py": "running/test_leaving.py",
        "running/run_scope.py": "running/test_remnants.py",
        "testing/comparing.py": "testing/test_parity.py",
        "testing/following.py": "testing/test_sampling.py",
        "testing/hearing.py": "testing/test_parity.py",
        "testing/replaying.py": "testing/test_recording.py",
        "testing/showing.py": "test_main.py",
        "web/ag_ui.py": "web/test_protocols.py",
        "web/ai_sdk.py": "web/test_protocols.py",
        "web/ag_ui_request.py": "web/test_requests.py",
        "web/ai_sdk_request.py": "web/test_requests.py",
        "web/bodies.py": "web/test_requests.py",
        "web/openai_request.py": "web/test_requests.py",
        "web/delivery.py": "web/test_sse.py",
        "web/openai.py": "web/test_protocols.py",
        "web/projected.py": "web/test_protocols.py",
    }
)
"""Source file to where its tests are."""
