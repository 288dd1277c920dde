from collections.abc import Callable
from typing import Any

class Program:
    """A schema, as a flat program; made of (op, within, count, objects, nodes, numbers)."""

    def __new__(
        cls,
        nodes: tuple[tuple[int, bool, int, tuple[Any, ...], tuple[int, ...], tuple[int, ...]], ...],
        are_fields: Callable[[type, tuple[str, ...]], bool],
        /,
    ) -> Program: ...
    def writer(self, prefix: bytes, other: Callable[[Any, bytes], bytes], /) -> Callable[[Any, Any], bytes]: ...
