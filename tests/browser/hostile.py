"""Strings that run, break out or hide where they are not taken as text."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

import nbcnnviz as nv

STRINGS = [
    "<script>window['__pwned']=1</script>",
    "<img src=x onerror=window['__pwned']=1>",
    "<svg/onload=window['__pwned']=1>",
    "<svg><script>alert(1)</script></svg>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "javascript:window['__pwned']=1",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</script><script>window['__pwned']=1</script>",
    "</style><script>window['__pwned']=1</script>",
    "<!--<script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<iframe srcdoc=\"<script>parent['__pwned']=1</script>\"></iframe>",
    "<a href=\"javascript:window['__pwned']=1\">click</a>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//192:80/x>",
    "<base href=//192:80/>",
    "<meta http-equiv=refresh content='0;url=//192:80/'>",
    "<details open ontoggle=window['__pwned']=1>",
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "${window['__pwned']=1}",
    "{{constructor['constructor']('alert(1)')()}}",
    "\\u003cscript>alert(1)\\u003c/script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "$\\href{javascript:alert(1)}{x}$",
    "__proto__",
    "constructor",
    "\u202egnp\u202c \u200b\ufeff",
]

ELEMENTS = (
    "script, img, iframe, object, embed, a, style, link, base, meta, math, form, svg, "
    "details:not([class])"
)
"""None of these is made by a widget; its own details have a class."""


LAYERS = [name.replace(".", "·") for name in STRINGS]
"""As the names of modules, which have no dots."""


class Gate(nn.Module):
    """Breaks with a given message when told to."""

    message: str | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.message is not None:
            raise RuntimeError(self.message)
        return x


class Attacker(nn.Module):
    """Convolutions and poolings by turns, then global average pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        kinds = (lambda: nn.Conv2d(3, 3, 3, padding=1), lambda: nn.MaxPool2d(3, 1, 1))
        self.gate = Gate()
        layers = OrderedDict((name, kinds[i % 2]()) for i, name in enumerate(LAYERS))
        self.layers = nn.Sequential(layers)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(3, len(STRINGS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gap(self.layers(self.gate(x))).flatten(1))


def network() -> nv.Network:
    """Its own name, those of its layers and those of its classes attack."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = type(STRINGS[0], (Attacker,), {})()
    return nv.Network(model, labels=STRINGS)


def picture() -> torch.Tensor:
    """For `network()`, (3, 16, 16)."""
    return torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(3))
