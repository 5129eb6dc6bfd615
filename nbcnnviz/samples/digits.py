"""The digits network: its data, its layers, how it is fed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..backend.preprocess import Preprocess

if TYPE_CHECKING:
    from PIL import Image

WEIGHTS = "digits.safetensors"

PREPROCESS = Preprocess(
    size=(32, 32), mean=(0.3,), std=(0.38,), channels=1, interpolation="bicubic"
)
"""Digits of 8 x 8 are enlarged, so that feature maps are worth looking at."""


class DigitsNet(nn.Module):
    """Two blocks of convolution, ReLU and max pooling, the global average, a linear layer.

    Inputs (N, 1, 32, 32), scores (N, 10). The kernels of 7 x 7 let the last block see 22 of the
    32 pixels: a bag of strokes is enough to tell the digits apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 7, padding=3)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 24, 7, padding=3)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 10) of inputs (N, 1, 32, 32)."""
        # (N, 16, 16, 16)
        x = self.pool1(self.relu1(self.conv1(x)))
        # (N, 24, 8, 8)
        x = self.pool2(self.relu2(self.conv2(x)))
        return cast(Tensor, self.fc(self.flatten(self.gap(x))))


def load() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """scikit-learn's 1797 digits as pictures (1797, 8, 8), white on black, and what they are."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images * (255 / 16)).round().astype(np.uint8), data.target.astype(np.int64)


def split(targets: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices for training (two thirds) and held out, the same on every machine.

    Every third digit is held out: all ten are among them, since they come in rounds of ten. The
    writers are the same in both parts; this is a picture book, not a benchmark.
    """
    everything = np.arange(len(targets))
    return everything[everything % 3 != 0], everything[everything % 3 == 0]


def prepare(images: npt.NDArray[np.uint8]) -> Tensor:
    """Pictures (N, 8, 8) as inputs (N, 1, 32, 32)."""
    return torch.cat([PREPROCESS(image) for image in images])


def digit(index: int) -> Image.Image:
    """One of the digits as an RGB picture of 8 x 8 pixels."""
    from PIL import Image

    return Image.fromarray(load()[0][index]).convert("RGB")
