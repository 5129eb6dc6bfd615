"""The base of every widget: protocol, worker, errors, export and closing (see docs/base.md)."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from ..backend.network import Network
from . import _cells, _lanes
from ._lanes import Ask, Hello, Stop
from ._traits import Choice, SettingError
from ._worker import Cancelled, Job, Worker, worker_for

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import nn

STATIC = Path(__file__).parent.parent / "static"


def bundle(stem: str) -> dict[str, str]:
    """The built JavaScript and CSS of a widget, for its `_esm` and `_css`; empty if not built.

    As text, not as paths: for a path anywidget keeps a hot-reload listener, and with it every
    widget ever made.
    """
    paths = {"_esm": STATIC / f"{stem}.js", "_css": STATIC / f"{stem}.css"}
    return {key: path.read_text("utf-8") for key, path in paths.items() if path.exists()}


class NetworkWidget(anywidget.AnyWidget):
    """A widget that looks into a `Network`.

    A subclass declares `stem`, its traits, its lanes (methods decorated with `@lane`) and the
    four methods at the end of this class. Errors in the constructor surface in the cell; errors
    later surface in the widget's error line.
    """

    stem: ClassVar[str]
    """The name of the widget's files, in Python, TypeScript and on the page."""

    theme = Choice(["auto", "light", "dark"], "auto")
    """Colours of the widget: "auto" follows the notebook."""

    _lanes: ClassVar[_lanes.Lanes]
    _net: Network | None = None
    """None before the constructor got that far, and after closing."""

    _epoch = traitlets.Unicode().tag(sync=True)
    _about = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # anywidget reads _esm and _css from the class body: they must be there before it looks.
        if "stem" in cls.__dict__:
            cls._lanes = _lanes.lanes_of(cls)
            for key, code in bundle(cls.stem).items():
                setattr(cls, key, code)
        super().__init_subclass__(**kwargs)

    def __init__(self, net: Network | nn.Module, settings: Mapping[str, Any], **state: Any) -> None:
        """Check what the user gave (`settings`) and open the widget with it and the rest."""
        self._reject_unknown(settings)
        if not hasattr(type(self), "_esm"):
            raise RuntimeError(
                f"the JavaScript of {type(self).__name__} is missing in {STATIC}: "
                "run `make js` in the source tree, or install a released wheel"
            )
        self._trait_lock = threading.RLock()
        self._send_lock = threading.Lock()
        self._net = Network.wrap(net)
        super().__init__(
            _epoch=uuid.uuid4().hex, _about=self._describe_network(), **{**state, **settings}
        )
        self.on_msg(self._on_message)
        _cells.close_previous(self)

    # -- the network --------------------------------------------------------------------------

    @property
    def net(self) -> Network:
        """The network this widget looks into.

        Raises:
            RuntimeError: the widget has been closed.
        """
        if self._net is None:
            raise RuntimeError("this widget is closed: make a new one")
        return self._net

    def _describe_network(self) -> dict[str, Any]:
        return {"network": self.net.name, "assumptions": list(self.net.assumptions)}

    @property
    def _worker(self) -> Worker:
        return worker_for(self.net)

    # -- from the browser ---------------------------------------------------------------------

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Take settings from the browser; what is not a setting, or not valid, is put back."""
        for key, value in sync_data.items():
            if key in type(self)._settings():
                with contextlib.suppress(SettingError):
                    super().set_state({key: value})
                    continue
            if key in self.keys:
                self.send_state(key)

    def _handle_msg(self, msg: Any) -> None:
        """Take a comm message on whatever thread the kernel delivers it."""
        data = msg.get("content", {}).get("data")
        # ipywidgets takes both for granted; a browser's words are not to be trusted.
        if isinstance(data, dict) and isinstance(data.get("state", {}), dict) and "method" in data:
            with self._trait_lock:
                super()._handle_msg(msg)

    def notify_change(self, change: Any) -> None:
        """Tell browser and observers of a change, one thread at a time."""
        # ipywidgets keeps per-instance flags while it syncs; the worker, a comm handler and the
        # user's cell may all set traits. Never set a trait while holding the network's lock.
        with self._trait_lock:
            super().notify_change(change)

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        """Any thread; returns in milliseconds, never raises."""
        message = _lanes.parse(content, self._epoch, self._lanes)
        if self._net is None or message is None:
            return
        if isinstance(message, Hello):
            self._post({"type": "hello", "view": message.view, "epoch": self._epoch})
        elif isinstance(message, Stop):
            self._worker.cancel(self, message.view)
        else:
            self._enqueue(message)

    def _enqueue(self, ask: Ask) -> None:
        address = {
            "view": ask.view,
            "epoch": self._epoch,
            "seq": ask.seq,
            "lane": ask.lane,
        }
        self._post({"type": "ack", **address})
        key = (id(self), ask.view, ask.lane)
        pending = self._worker.pending(key)
        if pending is not None and ask.seq <= pending.seq:
            return  # asked again because the answer is slow: it is on its way
        self._worker.submit(
            Job(
                key=key,
                owner=self,
                view=ask.view,
                seq=ask.seq,
                run=lambda job: self._answer(ask, address, job),
                on_progress=lambda done, total, left: self._post(
                    {
                        "type": "progress",
                        **address,
                        "done": done,
                        "total": total,
                        "left": left,
                    }
                ),
                on_partial=lambda blob: self._reply(address, "partial", 0.0, blob=blob),
            )
        )

    def _answer(self, ask: Ask, address: dict[str, Any], job: Job) -> None:
        """On the worker thread; whatever happens, the view gets an answer."""
        started = time.perf_counter()
        blob, message, status = None, "", "ok"
        try:
            job.check()
            blob = getattr(self, f"_lane_{ask.lane}")(job, **ask.args)
        except Cancelled:
            status = "cancelled"
        except Exception as error:
            status, message = "error", plain(error)
        self._reply(address, status, (time.perf_counter() - started) * 1e3, message, blob)

    def _reply(
        self,
        address: dict[str, Any],
        status: str,
        ms: float,
        message: str = "",
        blob: bytes | None = None,
    ) -> None:
        content = {
            "type": "reply",
            **address,
            "status": status,
            "ms": ms,
            "message": message,
        }
        self._post(content, blob)

    def _post(self, content: dict[str, Any], blob: bytes | None = None) -> None:
        """Send a message from any thread; ipykernel hands it to its own sending thread."""
        with self._send_lock:
            if self._net is not None:
                self.send(content, None if blob is None else [blob])

    # -- for the user -------------------------------------------------------------------------

    def compute(self) -> Any:
        """Do the widget's whole work here and now, with a progress line; the stop key stops it.

        What was finished before an interrupt is kept. Returns the widget's result.
        """
        address = {
            "view": "",
            "epoch": self._epoch,
            "seq": int(time.time() * 1000),
            "lane": "",
        }

        def show(done: int, total: int, left: float | None) -> None:
            filled = "█" * round(30 * done / max(total, 1))
            print(
                f"\r{type(self).__name__} {filled:<30} {done} of {total}",
                end="",
                flush=True,
            )
            self._post(
                {
                    "type": "progress",
                    **address,
                    "done": done,
                    "total": total,
                    "left": left,
                }
            )

        job = Job(key=None, owner=self, run=lambda job: None, on_progress=show)
        try:
            return self._compute(job)
        finally:
            print()
            self._reply(address, "ok", (time.monotonic() - job.started) * 1e3)

    def stop(self) -> None:
        """End this widget's background work at its next step; what is shown stays."""
        self._worker.cancel(self)

    def snapshot(self, interactive: bool = False) -> Any:
        """The widget as it is now as an ordinary output that survives everywhere.

        Args:
            interactive: the page of `save_html` in a frame instead of a still picture.
        """
        from IPython.display import Image

        from .. import export

        if not interactive:
            return Image(data=self._png())
        return _Frame(export.frame(export.page(self)))

    def figure(self) -> Figure:
        """The widget's picture as a matplotlib figure."""
        return self._figure()

    def save_html(self, path: str | Path, *, overwrite: bool = False, **options: Any) -> Path:
        """Write one HTML file that opens anywhere, offline, with hover, zoom and colours alive.

        Args:
            path: a file name that ends in .html or .htm.
            overwrite: replace an existing file.
            options: what else to put into the file; see the widget's own `_export_replies`.

        Raises:
            ValueError: the name has another ending.
            FileExistsError: the file is there and `overwrite` is False.
        """
        from .. import export

        return export.save_page(self, path, overwrite=overwrite, **options)

    def code(self) -> str:
        """The backend call that reproduces what the widget shows, as Python source."""
        return self._code()

    def close(self) -> None:
        """Remove the widget from the page and let go of the model, its maps and its memory."""
        if self._net is not None:
            self._worker.cancel(self)
            self._release()
            with self._send_lock:
                self._net = None
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view, and a picture and a sentence for where no widget can run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if self._net is None or bundle is None:
            return bundle
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        self._save()
        data["image/png"] = base64.b64encode(self._png()).decode()
        data["text/plain"] = self._summary()
        return data, metadata

    def _png(self) -> bytes:
        from .. import export

        return export.png(self._picture())

    @classmethod
    def _synced(cls) -> frozenset[str]:
        """The traits that this package adds to a widget and shares with the browser."""
        return frozenset(
            name
            for base in cls.__mro__
            if issubclass(base, NetworkWidget)
            for name, value in base.__dict__.items()
            if isinstance(value, traitlets.TraitType) and value.metadata.get("sync")
        ) - {"_esm", "_css", "_anywidget_id"}

    @classmethod
    def _settings(cls) -> frozenset[str]:
        """The traits that a user or a browser may set."""
        return frozenset(name for name in cls._synced() if not name.startswith("_"))

    @classmethod
    def _reject_unknown(cls, settings: Mapping[str, Any]) -> None:
        allowed = cls._settings() | {"layout"}
        unknown = sorted(set(settings) - allowed)
        if unknown:
            raise TypeError(
                f"{cls.__name__} has no argument {unknown[0]!r}: choose from "
                f"{', '.join(sorted(allowed))}"
            )

    # -- for the subclass ---------------------------------------------------------------------

    def _compute(self, job: Job) -> Any:
        """All the work of the widget as it is set now; return the result."""
        raise TypeError(f"{type(self).__name__} has no long work to do")

    def _save(self) -> None:
        """Put what is shown now into the traits that a saved notebook keeps."""

    def _release(self) -> None:
        """Let go of caches and tensors."""

    def _picture(self) -> npt.NDArray[np.uint8]:
        """What is shown now as RGB, (height, <= 640, 3)."""
        raise TypeError(f"{type(self).__name__} draws no picture")

    def _figure(self) -> Figure:
        """What is shown now as a matplotlib figure."""
        raise TypeError(f"{type(self).__name__} draws no figure")

    def _code(self) -> str:
        """Python that reproduces what is shown now."""
        raise TypeError(f"{type(self).__name__} has no call that reproduces it")

    def _summary(self) -> str:
        """One sentence on what is shown now, for where there are only letters."""
        return f"{type(self).__name__} of {self.net.name}"

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Lane, arguments and answer of each question that a saved page can ask."""
        yield from ()


def plain(error: BaseException) -> str:
    """An error as a sentence for the widget's error line."""
    text = str(error) or "no further word"
    if isinstance(error, (ValueError, TypeError, RuntimeError)):
        return text
    return f"{type(error).__name__}: {text}"


class _Frame:
    """An output of HTML; IPython's own class advises against frames, for pages of other sites."""

    def __init__(self, data: str) -> None:
        self.data = data

    def _repr_html_(self) -> str:
        return self.data
