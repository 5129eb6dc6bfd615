"""Images as Fourier coefficients with decorrelated colours (Olah, Mordvintsev & Schubert 2017).

Natural images have an amplitude that falls with 1 / frequency, and channels that go together. In
coordinates in which both are divided out, a step of equal length in every direction looks like a
natural image; in pixels it looks like noise.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

# Square root of the colour covariance over ImageNet, as lucid gives it.
COLOUR_SQRT = (
    (0.26, 0.09, 0.02),
    (0.27, 0.00, -0.05),
    (0.27, -0.09, 0.03),
)
_QUARTER = 4.0
"""Lucid divides by it, so that coefficients of 0.01 make a faint image."""


def frequencies(size: tuple[int, int]) -> Tensor:
    """(H, W // 2 + 1): cycles per pixel of the coefficients of `torch.fft.rfft2`, float64."""
    down = torch.fft.fftfreq(size[0], dtype=torch.float64, device="cpu")
    right = torch.fft.rfftfreq(size[1], dtype=torch.float64, device="cpu")
    return torch.hypot(down[:, None], right[None])


def colour_matrix() -> Tensor:
    """(3, 3): colour = M decorrelated; the longest column has length 1."""
    matrix = torch.tensor(COLOUR_SQRT, dtype=torch.float64, device="cpu")
    longest: Tensor = matrix.square().sum(0).max().sqrt()
    return matrix / longest


def softened(gradient: Tensor, strength: float) -> Tensor:
    """A gradient (N, C, H, W) with the amplitude at frequency f divided by f^strength.

    The mean over the image is taken away, since it would only make all of it lighter or darker.
    """
    if not strength:
        return gradient
    size = int(gradient.shape[2]), int(gradient.shape[3])
    scale = _softening(size, strength).to(gradient)
    made: Tensor = torch.fft.irfft2(torch.fft.rfft2(gradient) * scale, size)
    return made


@functools.lru_cache(maxsize=4)
def _softening(size: tuple[int, int], strength: float) -> Tensor:
    """(H, W // 2 + 1)"""
    scale = frequencies(size).clamp(min=1 / max(size)) ** -strength
    scale[0, 0] = 0
    return scale


@dataclass(frozen=True)
class Fourier:
    """The linear map from coefficients (N, C, H, W // 2 + 1, 2) to an image (N, C, H, W).

    p = M irfft2(s z) / 4 with s = sqrt(H W) / max(f, 1 / max(H, W)) and M for three channels.
    """

    size: tuple[int, int]
    scale: Tensor
    """(H, W // 2 + 1)"""
    colours: Tensor
    """(C, C)"""

    @classmethod
    def of(cls, size: tuple[int, int], channels: int, like: Tensor) -> Fourier:
        """For images of this size, in the dtype and on the device of a tensor."""
        height, width = size
        scale = (height * width) ** 0.5 / frequencies(size).clamp(min=1 / max(size))
        # Channels of a network that takes no colours have no known correlation.
        matrix = colour_matrix() if channels == 3 else torch.eye(channels, dtype=torch.float64)
        return cls(size, (scale / _QUARTER).to(like), matrix.to(like))

    def shape(self, count: int) -> tuple[int, ...]:
        """Of the coefficients of so many images."""
        return count, len(self.colours), *self.scale.shape, 2

    def image(self, z: Tensor) -> Tensor:
        """The images behind coefficients."""
        planes = torch.fft.irfft2(torch.view_as_complex(z) * self.scale, self.size)
        return torch.einsum("ij,njhw->nihw", self.colours, planes)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to the coefficients, from that with respect to the image."""
        height, width = self.size
        planes = torch.einsum("ij,nihw->njhw", self.colours, gradient)
        spectrum = torch.fft.rfft2(planes) * self.scale / (height * width)
        # Each inner column stands for its mirror image as well.
        spectrum[..., 1 : (width + 1) // 2] *= 2
        return torch.view_as_real(spectrum)
