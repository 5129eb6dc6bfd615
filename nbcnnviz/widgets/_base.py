"""The base of every widget: protocol, worker, errors, export and closing (see docs/base.md)."""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from ..backend.network import Network
from . import _cells, _lanes
from ._cache import shared
from ._codec import pack
from ._endpoint import Endpoint
from ._lanes import lane
from ._traits import Choice
from ._worker import Cancelled, Job

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import nn

_log = logging.getLogger("nbcnnviz")

_SAVE_DELAY = 0.4
"""Seconds."""

STATIC = Path(__file__).parent.parent / "static"


def bundle(stem: str) -> dict[str, str]:
    """The built JavaScript and CSS of a widget, for its `_esm` and `_css`; empty if not built.

    As text, not as paths: for a path anywidget keeps a hot-reload listener, and with it every
    widget ever made.
    """
    paths = {"_esm": STATIC / f"{stem}.js", "_css": STATIC / f"{stem}.css"}
    return {key: path.read_text("utf-8") for key, path in paths.items() if path.exists()}


class NetworkWidget(anywidget.AnyWidget):
    """A widget that looks into a `Network`, or at what came out of one.

    A subclass declares `stem`, its traits, its lanes (methods decorated with `@lane`) and the
    four methods at the end of this class. Errors in the constructor surface in the cell; errors
    later surface in the widget's error line.
    """

    stem: ClassVar[str]
    """The name of the widget's files, in Python, TypeScript and on the page."""
    compute_lane: ClassVar[str] = ""
    """The long lane that does the same work as `compute()`, whose partial results views show."""

    theme = Choice(["auto", "light", "dark"], "auto")
    """Colours of the widget: "auto" follows the notebook."""

    _lanes: ClassVar[_lanes.Lanes]
    _net: Network | None = None
    """None before the constructor got that far, after closing, and where there is none."""
    _alive = False
    """From the constructor to closing."""

    _epoch = traitlets.Unicode().tag(sync=True)
    _about = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # anywidget reads _esm and _css from the class body: they must be there before it looks.
        if "stem" in cls.__dict__:
            cls._lanes = _lanes.lanes_of(cls)
            for key, code in bundle(cls.stem).items():
                setattr(cls, key, code)
        super().__init_subclass__(**kwargs)

    def __init__(
        self, net: Network | nn.Module | None, settings: Mapping[str, Any], **state: Any
    ) -> None:
        """Check what the user gave (`settings`) and open the widget with it and the rest."""
        self._reject_unknown(settings)
        if not hasattr(type(self), "_esm"):
            raise RuntimeError(
                f"the JavaScript of {type(self).__name__} is missing in {STATIC}: "
                "run `make js` in the source tree, or install a released wheel"
            )
        self._trait_lock = threading.RLock()
        self._teller: int | None = None
        self._receiver: int | None = None
        self._endpoint = Endpoint(self)
        self._layout_is_the_users = "layout" in settings
        self._net = None if net is None else Network.wrap(net)
        self._alive = True
        super().__init__(
            _epoch=self._endpoint.epoch,
            _about=self._describe_network(),
            **{**state, **settings},
        )
        self.on_msg(lambda _, content, buffers: self._endpoint.receive(content, buffers))
        try:
            self._save()
        except BaseException:
            self.close()
            raise
        _cells.close_previous(self)

    # -- the network --------------------------------------------------------------------------

    @property
    def net(self) -> Network:
        """The network this widget looks into.

        Raises:
            RuntimeError: the widget has been closed, or was made without a network.
        """
        if self._net is None:
            why = "has no network" if self._alive else "is closed"
            raise RuntimeError(f"this widget {why}: make a new one")
        return self._net

    def _describe_network(self) -> dict[str, Any]:
        if self._net is None:
            return {"network": "no network", "assumptions": [], "repr": ""}
        return {
            "network": self.net.name,
            "assumptions": list(self.net.assumptions),
            "repr": repr(self.net),
        }

    # -- from the browser ---------------------------------------------------------------------

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Take settings from the browser; what is not a setting, or not valid, is put back."""
        before, self._receiver = self._receiver, threading.get_ident()
        try:
            self._take(sync_data)
        finally:
            self._receiver = before

    def _from_browser(self) -> bool:
        """Whether this thread is just taking settings from the browser, and so must be quick."""
        return self._receiver == threading.get_ident()

    def _take(self, sync_data: Mapping[str, Any]) -> None:
        settings = {key: sync_data[key] for key in sync_data if key in self._settings()}
        refused = set(sync_data) - set(settings)
        try:
            # Together, because one may only be valid with another.
            super().set_state(settings)
        except traitlets.TraitError:
            for key, value in settings.items():
                try:
                    super().set_state({key: value})
                except traitlets.TraitError:
                    refused.add(key)
        for key in refused & set(self.keys):
            self.send_state(key)

    def _handle_msg(self, msg: Any) -> None:
        """Take a comm message on whatever thread the kernel delivers it."""
        data = msg.get("content", {}).get("data")
        # ipywidgets takes both for granted; a browser's words are not to be trusted.
        if isinstance(data, dict) and isinstance(data.get("state", {}), dict) and "method" in data:
            # Questions touch no trait: they need not wait for an observer of the user's.
            custom = data["method"] == "custom"
            with contextlib.nullcontext() if custom else self._trait_lock:
                super()._handle_msg(msg)

    def notify_change(self, change: Any) -> None:
        """Tell browser and observers of a change, one thread at a time."""
        # ipywidgets keeps per-instance flags while it syncs; the worker, a comm handler and the
        # user's cell may all set traits. Never set a trait while holding the network's lock.
        with self._trait_lock:
            before, self._teller = self._teller, threading.get_ident()
            try:
                super().notify_change(change)
            finally:
                self._teller = before

    def _notifying(self) -> bool:
        """Whether this thread is just telling of a change, during which the worker may have to
        wait for it."""
        return self._teller == threading.get_ident()

    def _publish(self, **traits: Any) -> None:
        """Set traits from any thread, never in the middle of another thread's change.

        An observer of the user's that fails is logged: it is not the fault of who asked.
        """
        with self._trait_lock:
            for name, value in traits.items():
                try:
                    self.set_trait(name, value)
                except Exception:
                    _log.exception("an observer of %s failed", name)

    def _send(self, msg: Any, buffers: Any = None) -> None:
        """Send anything to the browser, unless the interpreter is ending."""
        # From then on ZeroMQ refuses a large frame in the middle of a message: the browser would
        # get half of ours, continued by the first frames of whatever the kernel says next.
        if threading.main_thread().is_alive():
            super()._send(msg, buffers)

    # -- for the user -------------------------------------------------------------------------

    def compute(self) -> Any:
        """Do the widget's whole work here and now, with a progress line; the stop key stops it.

        Returns the widget's result. What it keeps of an interrupted run is the widget's to say.

        Raises:
            RuntimeError: Stop was pressed in the widget.
        """

        shown = -1

        def show(done: int, total: int) -> None:
            nonlocal shown
            full = round(30 * done / max(total, 1))
            # A notebook keeps every line that was printed.
            if full != shown:
                shown, said = full, f"{done} of {total}"
                line = f"\r{type(self).__name__} {'█' * full:<30} {said:<{2 * len(str(total)) + 4}}"
                print(line, end="", flush=True)

        try:
            return self._endpoint.compute(self._compute, show)
        except Cancelled:
            raise RuntimeError("stopped in the widget") from None
        finally:
            print()

    def stop(self) -> None:
        """End this widget's background work at its next step; what is shown stays."""
        self._endpoint.stop()

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
        if self._alive:
            self._endpoint.close()
            self._alive, self._net = False, None
            self._release()
            shared.drop(self._epoch)
            if not self._layout_is_the_users:
                # A widget of its own, which ipywidgets would keep for ever.
                self.layout.close()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view, and a picture and a sentence for where no widget can run."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if not self._alive or bundle is None:
            return bundle
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        try:
            self._save()
            still = base64.b64encode(self._png()).decode()
            data |= {"image/png": still, "text/plain": self._summary()}
        except Exception:
            # The live view is worth showing also when its still picture cannot be drawn.
            _log.warning("no still picture of this widget", exc_info=True)
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

    @lane()
    def _lane_code(self, job: Job, *args: Any, **asked: Any) -> bytes:
        return pack({"code": self._code()}, {})

    # -- for the subclass ---------------------------------------------------------------------

    def _compute(self, job: Job) -> Any:
        """All the work of the widget as it is set now; return the result."""
        raise TypeError(f"{type(self).__name__} has no long work to do")

    def _save(self) -> None:
        """Put what is shown now into the traits that a saved notebook keeps."""

    def _save_soon(self, change: Any = None) -> None:
        """`_save()` on the worker, once nothing has changed for a while."""
        self._endpoint.worker.submit(
            Job(
                key=(self._endpoint.epoch, "", "save"),
                owner=self,
                run=lambda job: self._save(),
                delay=_SAVE_DELAY,
            )
        )

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
        return f"{type(self).__name__} of {self._about['network']}"

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Lane, arguments and answer of each question that a saved page can ask."""
        yield from ()


class _Frame:
    """An output of HTML; IPython's own class advises against frames, for pages of other sites."""

    def __init__(self, data: str) -> None:
        self.data = data

    def _repr_html_(self) -> str:
        return self.data
