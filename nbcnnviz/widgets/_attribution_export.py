"""What a page saved from an Attribution widget can answer without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _attribution_record as records
from ._codec import pack

if TYPE_CHECKING:
    from .attribution import Attribution


def answers(widget: Attribution) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """The methods shown, for the question that is shown; CAM as a sum where it is one; the code.

    Each with all that its answer depends on, so that no other question is given it.
    """
    question, meta = widget._question(), records.target_meta(widget.target)
    aim = {name: meta[name] for name in ("index", "other")}
    made = widget._work.made(question)
    unit = None if question.unit is None else list(question.unit)
    where = {"methods": list(question.methods), "layer": question.layer, "unit": unit}
    yield "attribute", {**aim, **where, "score": question.score}, widget._blob(made)
    terms = widget._work.terms(widget.target)
    if terms is not None:
        yield "terms", aim, records.terms_blob(terms)
    yield "code", where, pack({"code": widget._code()}, {})
