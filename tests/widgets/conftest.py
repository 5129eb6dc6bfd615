"""A browser made of a list: what the kernel sends is recorded, what a view sends is a call."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comm
import ipywidgets
import numpy as np
import pytest
from comm.base_comm import BaseComm

from nbcnnviz.widgets._codec import pack, unpack

sys.path.insert(0, str(Path(__file__).parent))


class RecordingComm(BaseComm):
    """A comm whose messages end in a list."""

    messages: list[tuple[str, Any, list[bytes]]]

    def __init__(self, **options: Any) -> None:
        self.messages = []
        super().__init__(**options)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys) -> None:
        self.messages.append((msg_type, data, list(buffers or [])))


@dataclass
class Reply:
    """An answer as a view gets it."""

    content: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return self.content["status"]


class View:
    """One browser view of a widget."""

    def __init__(self, widget: Any, name: str = "view") -> None:
        self.widget, self.name = widget, name
        self._seq = itertools.count(1)

    def deliver(self, data: Any, buffers: Any = ()) -> None:
        """Hand the widget a comm message as the kernel would."""
        message = {"content": {"comm_id": "x", "data": data}, "buffers": list(buffers)}
        self.widget.comm.handle_msg(message)

    def send(self, content: Any, *blobs: bytes) -> None:
        self.deliver({"method": "custom", "content": content}, blobs)

    def set(self, **state: Any) -> None:
        self.deliver({"method": "update", "state": state, "buffer_paths": []})

    def ask(self, lane: str, **args: Any) -> int:
        """Ask and return the question's number; arrays go along in a blob."""
        seq = next(self._seq)
        arrays = {name: value for name, value in args.items() if isinstance(value, np.ndarray)}
        message = {
            "type": "ask",
            "view": self.name,
            "epoch": self.widget._epoch,
            "seq": seq,
            "lane": lane,
            "args": {name: value for name, value in args.items() if name not in arrays},
        }
        self.send(message, *([pack({}, arrays)] if arrays else []))
        return seq

    def stop(self) -> None:
        self.send({"type": "stop", "view": self.name, "epoch": self.widget._epoch})

    def answer(self, lane: str, **args: Any) -> Reply:
        """Ask, wait for the worker, and return the final answer."""
        seq = self.ask(lane, **args)
        assert self.widget._endpoint.worker.join(60)
        return next(reply for reply in self.replies() if reply.content["seq"] == seq)

    def customs(self) -> list[tuple[dict[str, Any], list[bytes]]]:
        """All custom messages that the widget sent so far."""
        return [
            (data["content"], buffers)
            for kind, data, buffers in self.widget.comm.messages
            if kind == "comm_msg" and data["method"] == "custom"
        ]

    def replies(self) -> list[Reply]:
        """The answers to this view, without partial ones."""
        return [
            Reply(content, *(unpack(buffers[0]) if buffers else ({}, {})))
            for content, buffers in self.customs()
            if content["type"] == "reply"
            and content["view"] == self.name
            and content["status"] != "partial"
        ]

    def updates(self) -> list[dict[str, Any]]:
        """The traits that the widget sent after it was made, in order."""
        return [
            data["state"]
            for kind, data, _ in self.widget.comm.messages
            if kind == "comm_msg" and data["method"] == "update"
        ]


@pytest.fixture(autouse=True)
def recording_comm(monkeypatch):
    """Every widget of a test gets a comm that records, and is closed afterwards."""
    monkeypatch.setattr(comm, "create_comm", lambda **options: RecordingComm(**options))
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture
def view_of():
    """`view_of(widget, name)`: a browser view."""
    return View
