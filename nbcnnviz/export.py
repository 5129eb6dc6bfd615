"""A widget as it is now, for where there is no kernel: a PNG, or one HTML file that stays alive."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .widgets._codec import finite

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from .widgets._base import NetworkWidget

PNG_LIMIT = 80_000
"""Bytes of a picture in a saved notebook."""
_SMALLEST = 0.5
"""Share of its width that a picture keeps as long as its colours may be fewer instead."""

_SUFFIXES = (".html", ".htm")

# Nothing may be fetched; the module comes from a blob: made of text in the page itself.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)

_PAGE_STYLE = ":root { color-scheme: light dark; } body { margin: 16px; }"


def png(picture: npt.NDArray[np.uint8], limit: int = PNG_LIMIT) -> bytes:
    """A picture (H, W, 3) as PNG of at most `limit` bytes.

    A palette of 256 colours first, then fewer pixels, down to half the width: a photo is worth
    more with its shades than with its size. Only then fewer colours: a small picture with its
    colours off by a shade is better than none.
    """
    from PIL import Image

    whole = image = Image.fromarray(picture)
    data = _encode(image)
    if len(data) <= limit:
        return data
    factor = 1.0
    while factor >= _SMALLEST and len(data := _encode(_in_colours(image, 256))) > limit:
        # The bytes go about with the pixels.
        factor *= min(0.95, (limit / len(data)) ** 0.5)
        size = [max(1, round(edge * max(factor, _SMALLEST))) for edge in whole.size]
        image = whole.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    colours = 128
    while len(data) > limit and colours >= 32:
        data = _encode(_in_colours(image, colours))
        colours //= 2
    while len(data) > limit and min(image.size) > 1:
        image = image.reduce(2)
        data = _encode(_in_colours(image, 64))
    return data


def _in_colours(image: Image.Image, colours: int) -> Image.Image:
    """The picture in so many colours: those of a median cut, moved to where they fit best.

    Unmoved, they leave out what is rare and bright, such as the green of an eye. Dithered, a photo
    gets specks in the colours of the lines beside it.
    """
    from PIL import Image

    cut, plain = Image.Quantize.MEDIANCUT, Image.Dither.NONE
    return image.quantize(colours, method=cut, kmeans=1, dither=plain)


def _encode(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def page(widget: NetworkWidget, **options: Any) -> str:
    """A self-contained HTML page: the widget's code, its state and ready-made answers.

    The elements are those that `js/src/lib/standalone.ts` looks for.
    """
    from .widgets._base import STATIC

    widget._save()
    stem = widget.stem
    state = {"module": stem, **_state(widget), "replies": _replies(widget, options)}
    module = base64.b64encode((STATIC / f"{stem}.js").read_bytes()).decode()
    style = (STATIC / f"{stem}.css").read_text("utf-8")
    # "</script" may stand in a string of the code; in JavaScript "<\\/" is the same.
    starter = (STATIC / "standalone.js").read_text("utf-8").replace("</", "<\\/")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{html.escape(widget._summary())}</title>",
            f"<style>{_PAGE_STYLE}\n{style}</style>",
            "</head>",
            "<body>",
            '<div data-nbcnnviz="0"></div>',
            f'<script type="application/json" data-nbcnnviz-state="0">{_json(state)}</script>',
            f'<script type="text/plain" data-nbcnnviz-module="{stem}">{module}</script>',
            f"<script>{starter}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def frame(document: str, height: int = 720) -> str:
    """A page as an output of a notebook: framed, and without rights to what is around it."""
    source = html.escape(document, quote=True)
    return (
        f'<iframe srcdoc="{source}" sandbox="allow-scripts" '
        f'style="width:100%;height:{height}px;border:0" title="nbcnnviz"></iframe>'
    )


def save_page(
    widget: NetworkWidget, path: str | Path, *, overwrite: bool = False, **options: Any
) -> Path:
    """Write `page(widget)` to a file, whole or not at all.

    Raises:
        ValueError: the name does not end in .html or .htm.
        FileExistsError: the file is there and `overwrite` is False.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"path={str(path)!r} must end in .html or .htm")
    if path.exists() and not overwrite:
        raise FileExistsError(f"path={str(path)!r} exists: choose another name or overwrite=True")
    document = page(widget, **options)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(document)
        # mkstemp's files are for their owner alone; a page is for showing around.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    return path


def _state(widget: NetworkWidget) -> dict[str, Any]:
    """The widget's own synced traits, bytes apart from the rest."""
    traits, blobs = {}, {}
    for name in sorted(type(widget)._synced()):
        value = getattr(widget, name)
        if isinstance(value, bytes):
            blobs[name] = base64.b64encode(value).decode()
        else:
            traits[name] = finite(value)
    return {"traits": traits, "blobs": blobs}


def _replies(widget: NetworkWidget, options: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"lane": lane, "args": args, "blob": base64.b64encode(blob).decode()}
        for lane, args, blob in widget._export_replies(**options)
    ]


def _json(value: Any) -> str:
    """JSON that is safe within a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
