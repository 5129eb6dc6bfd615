"""Methods that give every pixel and colour a value: gradients, plain, smoothed and integrated."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._arguments import check_count
from ._attr_pass import backward, in_batches
from ._attr_question import Question
from ._attr_result import Attribution, Completeness
from ._model import kind
from .fill import filled

_INCOMPLETE = 0.05
"""Relative error of completeness from which on a note says so."""
SEEDS = ("one", "activation")


def gradient(ask: Question) -> Attribution:
    """d score / d x, the saliency map of Simonyan et al. (2013)."""
    run = ask.run()
    return ask.answer(run, ask.gradients(run)[0][0])


def input_x_gradient(ask: Question) -> Attribution:
    """x * d score / d x, in the network's own units: 0 where the picture has the mean colour."""
    run = ask.run()
    return ask.answer(run, (ask.gradients(run)[0] * ask.x)[0])


def guided_backprop(ask: Question, *, as_relu: Any = (), seed: str = "one") -> Attribution:
    """The way back through ReLUs where input and gradient are positive."""
    return _by_rule(ask, "guided", as_relu, seed)


def deconvnet(ask: Question, *, as_relu: Any = (), seed: str = "one") -> Attribution:
    """The way back through ReLUs where the gradient is positive, whatever the input was."""
    return _by_rule(ask, "deconvnet", as_relu, seed)


def _by_rule(ask: Question, rule: str, as_relu: Any, seed: str) -> Attribution:
    if seed not in SEEDS:
        raise ValueError(f"seed={seed!r}: choose one of {list(SEEDS)}")
    run = ask.run(True, as_relu)
    begin = None if seed == "one" else ask.score(run).detach()
    return ask.answer(run, ask.gradients(run, rule=rule, seed=begin)[0][0])


def smoothgrad(
    ask: Question,
    *,
    samples: int = 25,
    noise: float = 0.15,
    generator: torch.Generator | None = None,
) -> Attribution:
    """The mean of the gradients at x + N(0, sigma^2), sigma = noise (max x - min x)."""
    check_count("samples", samples)
    if not isinstance(noise, numbers.Real) or not 0 <= noise <= 10:
        raise ValueError(f"noise={noise!r}: give a share of the input's range, such as 0.15")
    seeds = _seeds(generator, samples)
    run = ask.run(graph=False)
    sigma = float(noise) * float(ask.x.max() - ask.x.min())
    total = torch.zeros_like(ask.x[0])

    def some(chosen: range) -> None:
        # A seed for each, so that the result does not depend on the size of batches.
        drawn = torch.stack([_normal(ask.x, seeds[i]) for i in chosen])
        total.add_(_gradient_at(ask, ask.x + sigma * drawn).sum(0))

    height, width = ask.x.shape[2:]
    alone = samples > 1 and ask.alone()
    done = in_batches(samples, height * width, ask.x.device, some, ask.on_progress, alone)
    return ask.answer(run, total / done, done=done, total=samples)


def integrated_gradients(ask: Question, *, steps: int = 50, baseline: Any = "mean") -> Attribution:
    """(x - b) times the mean of the gradients on the way from b to x, by Gauss and Legendre."""
    check_count("steps", steps)
    try:
        start = filled(ask.net, ask.x, baseline)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("fill", "baseline", 1)) from None
    path = ask.x - start
    places, weights = _gauss_legendre(steps)
    run = ask.run(graph=False)
    total = torch.zeros_like(ask.x[0])

    def some(chosen: range) -> None:
        at = torch.from_numpy(places[chosen.start : chosen.stop]).to(path)[:, None, None, None]
        share = torch.from_numpy(weights[chosen.start : chosen.stop]).to(path)[:, None, None, None]
        total.add_((share * _gradient_at(ask, start + at * path)).sum(0))

    height, width = ask.x.shape[2:]
    alone = steps > 1 and ask.alone()
    done = in_batches(steps, height * width, ask.x.device, some, ask.on_progress, alone)
    # The weights of all steps add up to 1.
    values = path[0] * total / float(weights[:done].sum())
    end = float(ask.score(run)[0].detach())
    begin = float(ask.score(ask.run_on(start, graph=False))[0].detach())
    complete = Completeness(float(values.double().sum()), end - begin)
    if complete.error > _INCOMPLETE:
        ask.note(
            f"The attributions add up to {complete.attributed:.3g}, the score changes by "
            f"{complete.difference:.3g}: more steps bring them together."
        )
    return ask.answer(run, values, completeness=complete, done=done, total=steps)


def _gradient_at(ask: Question, batch: Tensor) -> Tensor:
    """(N, C, H, W), of each image's own score."""
    run = ask.run_on(batch)
    return backward(ask.net, run, ask.score(run))[0]


def _seeds(generator: torch.Generator | None, count: int) -> list[int]:
    generator = read_generator(generator)
    most = 2**62
    drawn = torch.randint(most, (count,), generator=generator, device=generator.device)
    return [int(seed) for seed in drawn.tolist()]


def _normal(x: Tensor, seed: int) -> Tensor:
    """(C, H, W), drawn on the CPU: a seed gives the same noise wherever the network is."""
    own = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(x.shape[1:], generator=own, device="cpu").to(x)


def _gauss_legendre(steps: int) -> tuple[Any, Any]:
    """Places in 0..1 and weights, in an order in which any first part covers the whole evenly."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    digits = max(1, (steps - 1).bit_length())
    # From the middle on, then at halves of halves.
    turned = {i: (i - steps // 2) % 2**digits for i in range(steps)}
    order = sorted(turned, key=lambda i: int(f"{turned[i]:0{digits}b}"[::-1], 2))
    return (1 + places[order]) / 2, weights[order] / 2


def read_generator(generator: Any) -> torch.Generator:
    """Where random numbers come from; for None always the same ones.

    Raises:
        TypeError: it is no generator.
    """
    if generator is None:
        return torch.Generator("cpu").manual_seed(0)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: a {kind(generator)}; give a torch.Generator")
    return generator
