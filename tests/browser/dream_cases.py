"""DeepDream, StyleTransfer and Maximize in the tests that are the same for all widgets."""

from __future__ import annotations

from typing import Any

import hostile
from dream_page import DreamPage
from rows import Case
from view import View
from watch import Watch

import nbcnnviz as nv


class DreamView(DreamPage):
    """As the shared tests want it: `wait` waits for the state of the view, not of the run."""

    wait = View.wait


class DreamCase(Case):
    """A short run to its end, after which layers are chosen."""

    values = ("conv1", "conv2")
    finish = True
    use = """
      const kind = round % 8, turn = round >> 3;
      if (kind === 0) button("Restart");
      if (kind === 1) slide("strength", 0.2 + (turn % 5) / 10);
      if (kind === 2) slide("frame", turn % 3);
      if (kind === 3) named("button", "live")?.click();
      if (kind === 4) named("input[type=range]", "before / after") && slide("before / after", turn);
      if (kind === 5) button("Step");
      if (kind === 6) model.set(...LAYER);
      if (kind === 7) { const play = named("button", "Play"); if (turn % 9 === 0) play?.click(); }
    """

    def widget(self) -> Any:
        net, digit = nv.Network.digits(), nv.sample_image("digit")
        widget = eval(self.make, {"nv": nv, "net": net, "digit": digit})
        widget.compute()
        return widget

    def view(self, page: Watch, index: int = 0, state: str = "idle") -> DreamView:
        view = DreamView(page, None, self.stem, index)
        if view.run() == "fresh" and state == "idle":
            view.button("Play").click()
        view.page.until(lambda: view.run() == "done", "the run is done")
        view.wait(state)
        return view

    def shown(self, view: DreamView) -> list[Any]:
        numbers = view.root.locator("[data-role=numbers]").inner_text()
        return [self._picker(view).input_value(), view.run(), view.step(), numbers]

    def choose(self, view: DreamView, value: str) -> None:
        self._picker(view).fill(value)
        self._picker(view).press("Enter")

    def look(self, view: DreamView) -> None:
        view.wipe.fill("50" if view.wipe.input_value() == "100" else "100")

    def point(self, view: DreamView) -> str:
        box = view.losses.bounding_box()
        view.page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        view.page.until(lambda: "step " in view.status.inner_text())
        return str(view.status.inner_text())

    def keys(self, view: DreamView) -> Any:
        return view.range

    def says(self, view: DreamView) -> str:
        return str(view.shown_step())

    def beyond(self, view: DreamView) -> None:
        for name in ("Play", "Step", "Restart"):
            assert view.button(name).is_disabled()

    def walk(self, view: DreamView, widget: Any) -> None:
        page = view.page
        picker = self._picker(view)
        picker.click()
        names = view.root.locator("[role=option] .nbc-opt-name")
        page.until(lambda: names.count() > len(hostile.LAYERS))
        assert {f"layers.{name}" for name in hostile.LAYERS} <= set(names.all_text_contents())
        picker.press("Escape")
        for string in hostile.STRINGS[:8]:
            widget.net.model.gate.message = string
            view.button("Restart").click()
            error = view.root.locator(".nbc-error")
            page.until(lambda s=string: s in error.text_content(), repr(string))  # noqa: B023
        widget.net.model.gate.message = None
        view.button("Restart").click()
        page.until(lambda: view.run() == "done", "the run is done")

    def _picker(self, view: DreamView) -> Any:
        return view.root.get_by_role("combobox", name="Layer", exact=True)


class DeepDreamCase(DreamCase):
    """DeepDream, whose layer is the first of a mix."""

    stem = "deep_dream"
    make = "nv.DeepDream(net, digit, octaves=1, steps=4)"
    write = read = "layer"
    use = DreamCase.use.replace("LAYER", '"mix", { [["conv1", "conv2"][turn % 2]]: 1 }')

    def hostile(self, net: nv.Network) -> Any:
        layer = f"layers.{hostile.LAYERS[1]}"
        return nv.DeepDream(net, hostile.picture(), layer, octaves=1, steps=3)


class StyleTransferCase(DreamCase):
    """StyleTransfer, whose ribbon shows the content's layer."""

    stem = "style_transfer"
    make = "nv.StyleTransfer(net, digit, digit, scales=1, steps=4)"
    write = read = "content_layer"
    use = DreamCase.use.replace(
        'slide("strength", 0.2 + (turn % 5) / 10)', 'slide("style", 0.2 + (turn % 5) / 10)'
    ).replace("LAYER", '"content_layer", ["conv1", "conv2"][turn % 2]')

    def hostile(self, net: nv.Network) -> Any:
        layer, one = f"layers.{hostile.LAYERS[1]}", hostile.picture()
        return nv.StyleTransfer(net, one, one.flip(2), content_layer=layer, scales=1, steps=3)


class MaximizeCase(DreamCase):
    """Maximize, which begins with nothing: another look is an earlier frame."""

    stem = "maximize"
    make = "nv.Maximize(net, steps=16)"
    write = read = "layer"
    use = DreamCase.use.replace("LAYER", '"layer", ["conv1", "conv2"][turn % 2]')

    def look(self, view: DreamView) -> None:
        if view.shown_step() == view.step():
            view.range.fill("0")
        else:
            view.button("live").click()

    def hostile(self, net: nv.Network) -> Any:
        return nv.Maximize(net, f"layers.{hostile.LAYERS[1]}", steps=16)
