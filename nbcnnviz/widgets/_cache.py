"""What has been worked out for the screen, kept while there is room.

One cache for all widgets of the process, so that seven of them together stay within one bound.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

LIMIT = 512 * 2**20


class Sized(Protocol):
    """Something that knows how many bytes of memory it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


T = TypeVar("T", bound=Sized)


class Cache(Generic[T]):
    """Least recently used goes first; bounded in bytes; safe to use from any thread.

    Example:
        >>> import numpy as np
        >>> cache = Cache(limit=16)
        >>> _ = cache.get((1, "a"), lambda: np.zeros(16, np.uint8))
        >>> _ = cache.get((1, "b"), lambda: np.zeros(16, np.uint8))
        >>> cache.nbytes
        16
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.nbytes = 0
        self._items: OrderedDict[tuple[Hashable, ...], T] = OrderedDict()
        # Garbage collection may close a widget, and so call `drop`, in the middle of `get`.
        self._lock = threading.RLock()

    def get(self, key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
        """The item with this key, made when it is not there. The first part of a key is its owner.

        An item larger than the whole cache is made and returned, but not kept.
        """
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        item = make()
        with self._lock:
            if key not in self._items and item.nbytes <= self.limit:
                self._items[key] = item
                self.nbytes += item.nbytes
                while self.nbytes > self.limit:
                    self.nbytes -= self._items.popitem(last=False)[1].nbytes
        return item

    def __contains__(self, key: tuple[Hashable, ...]) -> bool:
        with self._lock:
            return key in self._items

    def drop(self, owner: Hashable) -> None:
        """Forget all items of an owner."""
        with self._lock:
            for key in [key for key in self._items if key[0] == owner]:
                self.nbytes -= self._items.pop(key).nbytes


shared: Cache[Any] = Cache()
"""The one cache; the first part of a key is the widget's `_epoch`."""
