"""The work behind an Attribution widget: one question, several methods, kept until it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from ..backend._arguments import is_whole
from ..backend._saliency_mask import SaliencyMask, saliency_mask
from ..backend.attribution import METHODS, Attribution, Explainer
from ..backend.network import Network
from ..backend.sanity import Sanity, sanity_checks
from ..backend.target import REDUCTIONS, Target
from ._attribution_record import Made
from ._worker import Cancelled, Job

MOST = 6
"""Methods side by side."""
_STEPS = 100
"""Of each method, whatever it counts itself."""


@dataclass(frozen=True)
class Question:
    """What is explained, where, and how."""

    methods: tuple[str, ...]
    layer: str
    unit: tuple[Any, ...] | None
    target: Target
    score: str

    @property
    def aim(self) -> Any:
        """As `attribute` takes it: the target, or the unit."""
        return self.target if self.unit is None else unit_target(self.layer, self.unit)


class Work:
    """Explains one image; forward passes and the last results are kept."""

    def __init__(self, net: Network, x: Tensor) -> None:
        self._explainer: Explainer | None = Explainer(net, x)
        self._shown: tuple[Question, int, list[Made]] | None = None

    def made(self, question: Question) -> list[Made]:
        """The results for a question; after a Stop those that were done by then."""
        shown = self._shown
        if shown is None or shown[:2] != (question, self.explainer.net.version()):
            return self.explain(question, None, lambda made: b"")
        return shown[2]

    def explain(
        self, question: Question, job: Job | None, show: Callable[[Sequence[Made]], bytes]
    ) -> list[Made]:
        """One method after another; `show` packs what there is after each.

        Raises:
            Cancelled: the job was; what was done stays.
        """
        made: list[Made] = []
        version, count = self.explainer.net.version(), len(question.methods)
        for place, method in enumerate(question.methods):

            def on_progress(done: int, total: int, place: int = place) -> bool:
                step = place * _STEPS + _STEPS * done // max(total, 1)
                return job is not None and stopped(job.progress, step, _STEPS * count)

            def run(method: str = method, told: Callable[[int, int], bool] = on_progress) -> Any:
                return self.attribute(question, method, told)

            made.append(Made.of(method, run))
            self._shown = question, version, made
            if job is not None:
                job.partial(lambda: show(made), every=0.05)
        return made

    def attribute(self, question: Question, method: str, on_progress: Any = None) -> Attribution:
        """One method's answer."""
        weighs = METHODS[method].is_cam and method != "cam" and question.unit is None
        return self.explainer.attribute(
            method,
            question.aim,
            question.layer if weighs else None,
            score=question.score if question.unit is None else "logit",
            on_progress=on_progress,
        )

    def evidence(self, question: Question, method: str, reduce: str, job: Job) -> Sanity:
        """Curves and randomised weights for one method's answer."""
        found = self.attribute(question, method)
        return sanity_checks(
            *(self.explainer.net, self.explainer.x, found),
            reduce="abs" if reduce == "signed" else reduce,
            on_progress=lambda done, total: stopped(job.progress, done, total),
        )

    def terms(self, target: Target) -> Attribution | None:
        """The CAM with its terms; None for a network that has none."""
        try:
            return self.explainer.attribute("cam", target)
        except (ValueError, TypeError):
            return None

    @property
    def explainer(self) -> Explainer:
        """For questions of other kinds.

        Raises:
            RuntimeError: it was closed.
        """
        if self._explainer is None:
            raise RuntimeError("this widget is closed: make a new one")
        return self._explainer

    def forget(self) -> None:
        """After more training, or other surgery."""
        self._shown = None

    def close(self) -> None:
        """Let go of all."""
        if self._explainer is not None:
            self._explainer.close()
        self._explainer, self._shown = None, None


def read_methods(value: Any) -> tuple[str, ...]:
    """Names of methods, each once.

    Raises:
        ValueError: none, too many, or one that is none.
    """
    names = [value] if isinstance(value, str) else value
    known = ", ".join(METHODS)
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MOST:
        raise ValueError(f"methods={value!r}: give 1 to {MOST} of {known}")
    for each in names:
        if not isinstance(each, str) or each not in METHODS:
            raise ValueError(f"methods: {each!r} is none; choose from {known}")
    return tuple(dict.fromkeys(names))


def unit_target(layer: str, unit: tuple[Any, ...]) -> Any:
    """A unit as `Target.of` takes it."""
    return layer, unit[0], unit[1] if len(unit) == 2 else unit[1:]


def a_unit(value: Any) -> tuple[Any, ...] | None:
    """A unit of a layer as both sides know it: (channel, "total" or "max"), or (channel, y, x).

    Raises:
        TypeError, ValueError: it is none.
    """
    if value is None:
        return None
    parts = list(value) if isinstance(value, list | tuple) else [value]
    if len(parts) == 2 and isinstance(parts[1], list | tuple | np.ndarray):
        parts = [parts[0], *parts[1]]
    parts = parts if len(parts) > 1 else [*parts, "total"]
    parts = [int(part) if is_whole(part) else part for part in parts]
    numbers = [part for part in parts if type(part) is int]
    words = [part for part in parts[1:] if isinstance(part, str) and part in REDUCTIONS]
    if (len(parts), len(numbers), len(words)) not in ((2, 1, 1), (3, 3, 0)):
        raise TypeError(
            f'unit={value!r}: give a channel, (channel, "max") or (channel, (y, x)), or None'
        )
    if min(numbers) < 0:
        raise ValueError(f"unit={value!r}: numbers begin at 0")
    return tuple(parts)


def a_share(value: Any) -> float:
    """A share of the picture.

    Raises:
        ValueError: it is none.
    """
    share = float(value) if isinstance(value, Real) and not isinstance(value, bool) else -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"share={value!r}: give a share of the picture, 0 to 1")
    return share


def segment(made: Sequence[Made], method: str, share: float, reduce: str) -> SaliencyMask:
    """The most salient share of the picture, in large pieces, by one of the methods shown.

    Raises:
        ValueError: it is not among them, or could not be computed.
    """
    share = a_share(share)
    one = next((one for one in made if one.method == method), None)
    if one is None:
        names = ", ".join(each.method for each in made)
        raise ValueError(f"method={method!r}: not shown; choose from {names}")
    if one.found is None:
        raise ValueError(f"method={method!r}: there is no map; {one.error}")
    return saliency_mask(one.found, 1 - share, reduce=reduce)


def stopped(report: Callable[..., None], *args: Any) -> bool:
    """Report, and whether somebody wants the work to end."""
    try:
        report(*args)
    except Cancelled:
        return True
    return False
