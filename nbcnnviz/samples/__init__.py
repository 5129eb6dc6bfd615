"""Pictures and a small network that work offline."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["sample_image", "sample_names"]

# Package and file below it; only what lies in the wheels, since other files would be downloaded.
_FILES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "camera": ("skimage", "data/camera.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "horse": ("skimage", "data/horse.png"),
    "moon": ("skimage", "data/moon.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "palace": ("sklearn", "datasets/images/china.jpg"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
_EXTRAS = {
    "skimage": "scikit-image: pip install 'nbcnnviz[demo]'",
    "sklearn": "scikit-learn: pip install scikit-learn",
}
_DIGIT = 3
"""Which of scikit-learn's digits "digit" is. It is held out from the training: see digits.py."""


def sample_names() -> list[str]:
    """All names that `sample_image` knows, sorted."""
    return sorted([*_FILES, "digit"])


def sample_image(name: str) -> Image.Image:
    """A picture to try things on, from scikit-image or scikit-learn: RGB, and no download.

    Args:
        name: "cat", "coffee", "rocket", "flower", "palace" and more: see
            `nbcnnviz.samples.sample_names()`. "digit" is a handwritten digit of 8 x 8 pixels for
            `Network.digits()`.

    Raises:
        ValueError: no such picture; the names are listed.
        ImportError: the package that holds it is not installed.

    Example:
        >>> sample_image("cat").size
        (451, 300)
    """
    if name == "digit":
        from .digits import digit

        return digit(_DIGIT)
    if name not in _FILES:
        raise ValueError(f"name={name!r}: no such picture; there are {', '.join(sample_names())}")
    from PIL import Image

    package, file = _FILES[name]
    with Image.open(_folder(package, name) / file) as image:
        picture: Image.Image = image.convert("RGB")
    picture.info["name"] = name  # what a widget calls it
    return picture


def _folder(package: str, name: str) -> Path:
    """Where a package lies, found without importing it, which would take a second."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"The picture {name!r} comes with {_EXTRAS[package]}")
    return Path(spec.submodule_search_locations[0])
