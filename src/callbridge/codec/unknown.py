"""`UnknownObject`: what remains of an object that JSON cannot carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["UnknownObject"]


@dataclass(frozen=True)
class UnknownObject:
    """Stands for an object that was dumped, and whose class may not be restored.

    You can dump it again. Two of them are equal if they hold the same.

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
    """Where its class was: the parts of its module's name, then its own."""

    repr: str | None = None
    """The beginning of its `repr`, without addresses; `None` if `repr` failed."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Its fields, if it is a pydantic model or a dataclass, but for those that its author hid from `repr`."""

    def __hash__(self) -> int:
        # A set may hold such an object, and its fields have no hash.
        return hash((self.id, self.repr))
