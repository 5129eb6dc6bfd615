"""Train the digits network again: `python -m nbcnnviz.samples.train_digits [FILE]`.

Takes under a minute on two cores. The same seed and the same PyTorch give the same weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .digits import WEIGHTS, DigitsNet, load, prepare, split

_BATCH = 64
_RATE = 8e-3


def train(epochs: int = 30, seed: int = 0) -> tuple[DigitsNet, float]:
    """A trained network and the share of held-out digits that it gets right.

    The random state of the caller is as before afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DigitsNet()
    images, targets = load()
    training, held_out = split(targets)
    x, y = prepare(images), torch.from_numpy(targets)
    _fit(net, x[training], y[training], epochs, torch.Generator().manual_seed(seed))
    return net.eval(), accuracy(net, x[held_out], y[held_out])


def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of inputs (N, 1, 32, 32) whose best score is that of their class."""
    with torch.no_grad():
        return float((net(x).argmax(1) == y).double().mean())


def _fit(net: DigitsNet, x: Tensor, y: Tensor, epochs: int, random: torch.Generator) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    steps = epochs * -(-len(x) // _BATCH)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=random)
        for start in range(0, len(x), _BATCH):
            batch = order[start : start + _BATCH]
            # The digits stand in the middle: what a shift pushes over the edge is black.
            shift = torch.randint(-2, 3, (2,), generator=random).tolist()
            scores = net(x[batch].roll(shift, (2, 3)))
            loss = F.cross_entropy(scores, y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            rate.step()


def main() -> None:
    """Train, say how well it went, and write the weights."""
    from safetensors.torch import save

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).with_name(WEIGHTS))
    file = parser.parse_args().file
    net, share = train()
    file.write_bytes(save(net.state_dict()))
    print(f"{share:.2%} of the held-out digits right; {file.stat().st_size} bytes in {file}")


if __name__ == "__main__":
    main()
