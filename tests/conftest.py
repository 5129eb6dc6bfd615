"""Order of the tests: what is quick first, the browser last."""

from __future__ import annotations

from pathlib import Path

import torch

ORDER = ("backend", "", "widgets", "browser")
"""Folders under tests/; "" are the files in tests/ itself."""

# More threads than cores only make small models slower.
torch.set_num_threads(min(2, torch.get_num_threads()))


def pytest_collection_modifyitems(config, items):
    tests = Path(__file__).parent

    def place(item):
        parts = Path(item.path).relative_to(tests).parts
        folder = parts[0] if len(parts) > 1 else ""
        slow = folder == "" and parts[0] in ("test_wheel.py", "test_notebooks.py")
        return ORDER.index(folder) if folder in ORDER else len(ORDER), slow

    items.sort(key=place)
