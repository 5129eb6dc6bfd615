"""The cache: bounded in bytes, oldest first, each owner's part can be dropped."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nbcnnviz.widgets._cache import LIMIT, Cache


def bytes_of(count):
    return lambda: np.zeros(count, np.uint8)


def test_an_item_is_made_once():
    cache, made = Cache(100), []

    def make():
        made.append(1)
        return np.zeros(10, np.uint8)

    assert cache.get(("a", 1), make) is cache.get(("a", 1), make)
    assert len(made) == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=50))
def test_never_over_the_limit_and_the_count_is_right(requests):
    cache = Cache(100)
    for key, size in requests:
        cache.get(("a", key, size), bytes_of(size))
        assert cache.nbytes == sum(item.nbytes for item in cache._items.values()) <= 100


def test_the_least_recently_used_goes_first():
    cache = Cache(30)
    for key in (1, 2, 3):
        cache.get(("a", key), bytes_of(10))
    cache.get(("a", 1), bytes_of(10))
    cache.get(("a", 4), bytes_of(10))
    assert [("a", key) in cache for key in (1, 2, 3, 4)] == [True, False, True, True]


def test_an_item_larger_than_the_cache_is_not_kept():
    cache = Cache(10)
    assert cache.get(("a", 1), bytes_of(11)).nbytes == 11
    assert ("a", 1) not in cache
    assert cache.nbytes == 0


def test_dropping_an_owner_leaves_the_others():
    cache = Cache(100)
    cache.get(("a", 1), bytes_of(10))
    cache.get(("b", 1), bytes_of(20))
    cache.drop("a")
    assert cache.nbytes == 20
    assert ("b", 1) in cache


def test_many_threads():
    cache = Cache(1000)

    def work(seed):
        generator = np.random.default_rng(seed)
        for _ in range(300):
            cache.get((seed % 2, int(generator.integers(50))), bytes_of(40))
            if generator.random() < 0.02:
                cache.drop(seed % 2)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.nbytes == sum(item.nbytes for item in cache._items.values()) <= 1000


def test_the_bound_is_the_published_one():
    assert LIMIT == 512 * 1024 * 1024
