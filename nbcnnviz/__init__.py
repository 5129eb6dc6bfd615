"""Look inside PyTorch CNNs from a notebook.

    import nbcnnviz as nv
    nv.FeatureMaps(nv.Network.demo(), nv.sample_image("cat"))

Names are loaded at first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import backend as backend
    from .backend.network import Network as Network
    from .samples import sample_image as sample_image
    from .widgets.attribution import Attribution as Attribution
    from .widgets.deep_dream import DeepDream as DeepDream
    from .widgets.embedding import Embedding as Embedding
    from .widgets.feature_maps import FeatureMaps as FeatureMaps
    from .widgets.maximize import Maximize as Maximize
    from .widgets.occlusion import Occlusion as Occlusion
    from .widgets.pooling import Pooling as Pooling
    from .widgets.style_transfer import StyleTransfer as StyleTransfer

__version__ = "0.1.0"

_HOME = {
    "Attribution": ".widgets.attribution",
    "DeepDream": ".widgets.deep_dream",
    "Embedding": ".widgets.embedding",
    "FeatureMaps": ".widgets.feature_maps",
    "Maximize": ".widgets.maximize",
    "Network": ".backend.network",
    "Occlusion": ".widgets.occlusion",
    "Pooling": ".widgets.pooling",
    "StyleTransfer": ".widgets.style_transfer",
    "sample_image": ".samples",
}

__all__ = [
    "Attribution",
    "DeepDream",
    "Embedding",
    "FeatureMaps",
    "Maximize",
    "Network",
    "Occlusion",
    "Pooling",
    "StyleTransfer",
    "__version__",
    "backend",
    "sample_image",
]


def __getattr__(name: str) -> Any:
    if name == "backend":
        return importlib.import_module(".backend", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
