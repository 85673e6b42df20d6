"""The options that all streams have in common."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

# Not only type checkers need this: `typing.get_type_hints(StreamOptions)` looks it up here.
from callbridge.channel.statistics import Overflow
from callbridge.core.filters import Filters
from callbridge.errors import OptionError, OptionWarning

__all__ = ["HandlerOptions", "OnExit", "StreamOptions", "check_option_names", "warn_of_misspelled"]

_ALIKE = 0.85
"""From this similarity on, a name counts as a misspelled option. `stream_mode` and `streaming` have 0.7."""

OnExit: TypeAlias = Literal["cancel", "detach"]
"""What happens to a run when its reader leaves first: it is cancelled and awaited, or runs on unread."""


class HandlerOptions(Filters, total=False):
    """Options of a handler that makes events.

    Example:
        ```python
        options: callbridge.HandlerOptions = {"capacity": 16, "extended": True}
        with callbridge.EventStreamHandler(**options) as handler:
            print(handler.statistics().runs)
        #> 0
        ```
    """

    streaming: bool
    """If true, models are asked to stream and chains report their chunks, as with LangChain's own event handler."""

    capacity: int
    """How many events may wait for the reader before the run waits. The default is 256."""

    overflow: Overflow
    """What happens when the channel is full. The default is `"block"`. Starts, ends and errors always arrive.

    `"block"`: the run waits. `"coalesce"`: chunks of one run merge, as LangChain adds them up, so nothing is missing.
    `"drop_oldest"`, `"drop_newest"`: chunks are dropped, and `statistics().channel.dropped` counts them. `"fail"`:
    the run raises `ChannelOverflow`, and the reader raises it in place of the end.
    """

    extended: bool
    """If true, events of the extended vocabulary are made as well. The default is False."""


class StreamOptions(HandlerOptions, total=False):
    """Options of a stream that owns its run.

    Example:
        ```python
        options: callbridge.StreamOptions = {"capacity": 16, "overflow": "coalesce"}
        with callbridge.stream_events(chain, {"drink": "tea"}, **options) as stream:
            print("".join(stream.text()))
        #> With hot water.
        ```
    """

    on_exit: OnExit
    """What happens to the run when the reader leaves first. The default is `"cancel"`."""


def check_option_names(
    given: Mapping[str, Any], known: type[HandlerOptions], *, also: Collection[str] = (), hint: str = ""
) -> None:
    """Raise an error for the first keyword that is not an option.

    Args:
        given: The keywords and their values.
        known: The options there are.
        also: Further options.
        hint: What else the keyword may have been meant for.

    Raises:
        OptionError: A keyword is none of them.
    """
    names = {*known.__annotations__, *also}
    for name, value in given.items():
        if name not in names:
            close = get_close_matches(name, names, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise OptionError(name, value, f"one of the options {', '.join(sorted(names))}{meant}{hint and f'; {hint}'}")


def warn_of_misspelled(given: Iterable[str], stacklevel: int) -> None:
    """Warn of keywords that go to a runnable but look like options of `StreamOptions`.

    Args:
        given: The keywords.
        stacklevel: As for `warnings.warn`, from the caller's point of view.
    """
    for name in given:
        for meant in get_close_matches(name, StreamOptions.__annotations__, 1, _ALIKE):
            text = f"{name}: passed on to the runnable; did you mean the option {meant!r}?"
            warnings.warn(text, OptionWarning, stacklevel + 1)
