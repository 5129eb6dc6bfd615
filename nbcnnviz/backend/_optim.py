"""Steps that leave what went before as it was, so that any frame can be gone on from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Adam:
    """The state of Adam (Kingma & Ba 2015). A step returns the next one and overwrites nothing.

    Unlike `torch.optim.Adam`, whose moments are overwritten in place: frames that hold them
    would each need a copy.
    """

    mean: Tensor | None = None
    square: Tensor | None = None
    count: int = 0
    betas: tuple[float, float] = (0.9, 0.999)

    def step(self, gradient: Tensor, lr: float) -> tuple[Tensor, Adam]:
        """What to add to the value that is being minimised, and the next state."""
        count = self.count + 1
        mean = torch.zeros_like(gradient) if self.mean is None else self.mean
        square = torch.zeros_like(gradient) if self.square is None else self.square
        first, second = self.betas
        mean = mean.lerp(gradient, 1 - first)
        square = (square * second).addcmul_(gradient, gradient, value=1 - second)
        size = lr / (1 - first**count)
        root = (square.sqrt() / (1 - second**count) ** 0.5).add_(EPSILON)
        return (mean / root).mul_(-size), Adam(mean, square, count, self.betas)


@dataclass(frozen=True, eq=False)
class LBFGS:
    """The state of `torch.optim.LBFGS` between two iterations, with strong Wolfe line search."""

    value: Tensor
    """What is being minimised."""
    memory: Any = None
    history: int = 20

    def step(self, evaluate: Callable[[Tensor], tuple[Tensor, Tensor]], lr: float) -> LBFGS:
        """The state after one iteration.

        Args:
            evaluate: gives the loss and the gradient at a value.
            lr: the length that the line search tries first.
        """
        value = self.value.detach().clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [value],
            lr=lr,
            max_iter=1,
            max_eval=10,
            tolerance_grad=0,
            tolerance_change=0,
            history_size=self.history,
            line_search_fn="strong_wolfe",
        )
        if self.memory is not None:
            optimiser.state[value] = copy.copy(_apart(self.memory))

        def closure() -> Tensor:
            loss, value.grad = evaluate(value.detach())
            return loss

        with torch.enable_grad():
            optimiser.step(closure)  # type: ignore[no-untyped-call]
        return LBFGS(value.detach(), _apart(optimiser.state[value]), self.history)


def _apart(memory: Any) -> dict[str, Any]:
    """A copy that a further iteration does not write to: lists grow, one gradient is replaced."""
    made = {k: list(v) if isinstance(v, list) else v for k, v in memory.items()}
    previous = made.get("prev_flat_grad")
    if isinstance(previous, Tensor):
        made["prev_flat_grad"] = previous.clone()
    return made
