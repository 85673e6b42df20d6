"""`UnknownObject`: stands for an object that JSON cannot carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["UnknownObject"]


@dataclass(frozen=True)
class UnknownObject:
    """Stands for a dumped object whose class `loads` does not restore.

    You can dump it again. Two of them are equal if their attributes are equal.

    Example:
        ```python
        class Kettle:
            def __repr__(self) -> str:
                return "a kettle"


        print(callbridge.loads(callbridge.dumps(Kettle())).repr)
        #> a kettle
        ```
    """

    id: tuple[str, ...]
    """The path of its class: the parts of its module's name, then its own name."""

    repr: str | None = None
    """The beginning of its `repr`, without addresses; `None` if `repr` failed."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Its fields, if it is a pydantic model or a dataclass, except those that its author hid from `repr`."""

    def __hash__(self) -> int:
        # Its fields have no hash, but a set may hold such an object.
        return hash((self.id, self.repr))
