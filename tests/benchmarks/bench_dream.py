"""A step of DeepDream and of style transfer, against the bare passes that it cannot do without.

The references are written out: the network cut by hand after the deepest layer that is needed,
weights frozen, channels last, one forward pass and one backward pass to the image.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import comm
import torch
from _paired import paired, report
from comm.base_comm import BaseComm
from torch import Tensor, nn
from torchvision import models

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend.dream import deep_dream
from nbcnnviz.backend.style import style_transfer
from nbcnnviz.widgets._codec import unpack

MANY = 10_000
"""Steps, so that an iterator does not end."""
VGG_STYLE = [f"features.{i}" for i in (1, 6, 11, 20, 29)]  # conv1_1 to conv5_1, rectified
VGG_CONTENT = "features.22"  # conv4_2, rectified


def bare(cut: nn.Module, x: Tensor) -> Callable[[], object]:
    """One pass forward and back through a network that ends where it is cut."""
    cut = cut.eval().requires_grad_(False)
    x = x.to(memory_format=torch.channels_last)

    def run() -> Tensor:
        leaf = x.detach().clone().requires_grad_()
        loss = cut(leaf).square().mean() / 2
        return torch.autograd.grad(loss, leaf)[0]

    return run


def compare(what: str, frames: object, reference: Callable[[], object], pairs: int) -> None:
    mine, other, ratio = paired(lambda: next(frames), reference, pairs)
    figure = f"{mine * 1e3:.1f} / {other * 1e3:.1f} ms = {ratio:.2f} x"
    report(what, figure, "<= 1.1 x", ratio <= 1.1)


def dreaming() -> None:
    for side in (224, 384):
        net = nv.Network.demo()
        model = nv.Network.demo().model
        cut = nn.Sequential(model.conv_stem, model.bn1, *model.blocks[:5])
        cat = nv.sample_image("cat").resize((side, side))
        frames = deep_dream(net, cat, "blocks.4", octaves=1, steps=MANY, tile=None)
        compare(
            f"demo network, DeepDream at {side} x {side}: a step / bare passes",
            frames,
            bare(cut, net.prepare(cat) if side == 224 else torch.randn(1, 3, side, side)),
            31,
        )


class Browser(BaseComm):
    """A comm with a view at its end that says of each partial picture that it has seen it."""

    def __init__(self, **options: Any) -> None:
        self.pictures: list[tuple[float, bool]] = []
        """When each came, and whether the one before it had been seen."""
        self.seen = True
        super().__init__(**options)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys) -> None:
        content = (data or {}).get("content", {})
        if content.get("type") == "reply" and buffers and "jpeg" in unpack(buffers[0])[1]:
            self.pictures.append((time.perf_counter(), self.seen))
            self.seen = False

    def see(self, widget: nv.DeepDream) -> None:
        """Show the newest picture."""
        message = {"type": "seen", "view": "view", "epoch": widget._epoch, "lane": "run"}
        data = {"method": "custom", "content": message}
        self.seen = True
        self.handle_msg({"content": {"comm_id": self.comm_id, "data": data}, "buffers": []})


def showing() -> None:
    """From the widget's call to its first picture on the wire, and how many follow."""
    comm.create_comm = lambda **options: Browser(**options)
    net, cat = nv.Network.demo(), nv.sample_image("cat")
    began = time.perf_counter()
    widget = nv.DeepDream(net, cat, size=(224, 224), steps=MANY)
    widget.play()
    browser: Browser = widget.comm
    while not browser.pictures:
        time.sleep(0.001)
    first = browser.pictures[0][0] - began
    what = "demo network: from nv.DeepDream() to the first picture"
    report(what, f"{first * 1e3:.0f} ms", "<= 1000 ms", first <= 1)
    end = time.perf_counter() + 4
    while time.perf_counter() < end:
        if not browser.seen:
            browser.see(widget)
        time.sleep(0.001)
    widget.pause()
    widget._endpoint.worker.join()
    times = [when for when, _ in browser.pictures]
    rate = (len(times) - 1) / (times[-1] - times[0])
    report("pictures that reach the browser", f"{rate:.1f} a second", "<= 10", 2 < rate <= 10.1)
    queued = sum(not seen for _, seen in browser.pictures)
    report("pictures sent before the last was seen", str(queued), "0", not queued)
    widget.close()


def painting() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.vgg19(weights=None).eval()
    net = nv.Network(model, preprocess=backend.Preprocess(size=(256, 256)))
    cut = nn.Sequential(*[_out_of_place(m) for m in model.features[:30]])
    content, style = nv.sample_image("cat"), nv.sample_image("gravel")
    frames = style_transfer(
        net, content, style, VGG_CONTENT, VGG_STYLE, scales=1, steps=MANY, size=(256, 256)
    )
    what = "VGG-19, style transfer at 256 x 256: an Adam step / "
    x = [backend.Preprocess(size=(256, 256), crop="squash")(each) for each in (content, style)]
    compare(what + "bare passes", frames, bare(cut, torch.randn(1, 3, 256, 256)), 15)
    compare(what + "plain loop", frames, plain_loop(cut, *x), 9)


def plain_loop(cut: nn.Sequential, content: Tensor, style: Tensor) -> Callable[[], object]:
    """Gatys et al.'s loop as it is usually written: a step on pixels with torch.optim.Adam."""
    cut = cut.eval().requires_grad_(False)
    taken = [int(name.rpartition(".")[2]) for name in (*VGG_STYLE, VGG_CONTENT)]

    def look(x: Tensor) -> dict[int, Tensor]:
        maps = {}
        for number, module in enumerate(cut):
            x = module(x)
            if number in taken:
                maps[number] = x
        return maps

    def gram(maps: Tensor) -> Tensor:
        flat = maps.flatten(2)[0]
        return flat @ flat.T / flat.shape[1]

    with torch.no_grad():
        wanted = look(content)[taken[-1]]
        painted = {n: gram(maps) for n, maps in look(style).items() if n in taken[:-1]}
    image = content.clone(memory_format=torch.channels_last).requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.02)

    def step() -> None:
        optimiser.zero_grad()
        maps = look(image)
        loss = (maps[taken[-1]] - wanted).square().mean()
        for number, target in painted.items():
            loss = loss + (gram(maps[number]) - target).square().mean()
        loss.backward()
        optimiser.step()

    return step


def _out_of_place(module: nn.Module) -> nn.Module:
    return nn.ReLU() if isinstance(module, nn.ReLU) else module


def memory() -> None:
    """In a process of its own, whose peak is the system's to tell."""
    code = (
        "import nbcnnviz as nv, resource\n"
        "cat = nv.sample_image('cat')\n"
        "frames = nv.backend.dream.deep_dream(\n"
        "    nv.Network.demo(), cat, size=(1024, 1024), steps=2)\n"
        "sizes = [f.image.shape for f in frames]\n"
        "assert len(sizes) == 8 and sizes[-1] == (1024, 1024, 3)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    ).replace("nv.backend.dream", "dream")
    code = "import nbcnnviz.backend.dream as dream\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = int(done.stdout) * unit / 2**30
    what = "demo network, DeepDream to 1024 x 1024: peak of the process"
    report(what, f"{peak:.2f} GiB", "< 3 GB", peak * 2**30 < 3e9)


if __name__ == "__main__":
    dreaming()
    showing()
    painting()
    memory()
