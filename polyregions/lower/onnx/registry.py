"""Which function reads which operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from polyregions.lower.onnx.call import Call, Value

Handler: TypeAlias = Callable[[Call], Value | list[Value]]

HANDLERS: dict[str, Handler] = {}

# Operators that may follow what has been left out at the end of the model (a softmax).
AT_THE_END: set[str] = set()


def handles(*operators: str, at_the_end: bool = False) -> Callable[[Handler], Handler]:
    """Register a handler, which gets a `Call` and returns what the operator gives."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(operators, handler))
        if at_the_end:
            AT_THE_END.update(operators)
        return handler

    return register
