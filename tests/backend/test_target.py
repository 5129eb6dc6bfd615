"""What a target may be, what it is called, and what it makes of scores and maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import photo, tiny
from torch import nn

import nbcnnviz as nv
from nbcnnviz.backend import _model
from nbcnnviz.backend._model import probabilities
from nbcnnviz.backend.target import Target

LABELS = [
    "tabby",
    "Tiger cat",
    "crane",
    "espresso",
    "espresso maker",
    "crane",
    "maillot",
    "Maillot",
]
LOGITS = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net():
    return nv.Network(tiny(classes=8), labels=LABELS)


def double(scores):
    return 2 * scores[3]


@pytest.mark.parametrize(
    ("value", "name", "index"),
    [
        (0, "tabby", 0),
        (np.int64(3), "espresso", 3),
        (np.array(3), "espresso", 3),
        (torch.tensor(3), "espresso", 3),
        ("espresso", "espresso", 3),
        (" ESPRESSO ", "espresso", 3),
        ("tiger cat", "Tiger cat", 1),
        ("maillot", "maillot", 6),
        ("Maillot", "Maillot", 7),
        (5, "crane (5)", 5),
        ("class 4", "espresso maker", 4),
        (90, "class 90", 90),
    ],
)
def test_classes(net, value, name, index):
    target = Target.of(net, value)
    assert (target.name, target.index, target.needs_layer) == (name, index, False)
    if index < 8:
        torch.testing.assert_close(target.scores(LOGITS), LOGITS[:, index], rtol=0, atol=0)


def test_none_is_the_predicted_class_of_the_image(net):
    target = Target.of(net, None)
    assert target.predicted and target.name == "predicted class"
    with pytest.raises(ValueError, match="clean image"):
        target.scores(LOGITS)
    known = Target.of(net, None, logits=LOGITS[:1])
    assert known.index == int(LOGITS[0].argmax()) and known.name == LABELS[known.index]


def test_without_labels_classes_are_numbered():
    net = nv.Network(tiny())
    assert Target.of(net, 3).name == "class 3"
    assert Target.of(net, "class 3").index == 3
    assert Target.of(tiny(), 3) == Target.of(net, 3)


@pytest.mark.parametrize(
    ("value", "name", "reduction", "position"),
    [
        (("conv", 2), "conv, channel 2 (total)", "total", None),
        (["conv", 2], "conv, channel 2 (total)", "total", None),
        (("conv", 2, "max"), "conv, channel 2 (max)", "max", None),
        (("conv", np.int32(2), (1, np.int64(4))), "conv, channel 2 at (1, 4)", "total", (1, 4)),
    ],
)
def test_units(net, value, name, reduction, position):
    target = Target.of(net, value)
    assert target.needs_layer and (target.layer, target.channel) == ("conv", 2)
    assert (target.name, target.reduction, target.position) == (name, reduction, position)
    maps = torch.randn(3, 6, 5, 7, generator=torch.Generator().manual_seed(1))
    expected = {"total": maps[:, 2].sum((1, 2)), "max": maps[:, 2].amax((1, 2))}[reduction]
    expected = expected if position is None else maps[:, 2, 1, 4]
    torch.testing.assert_close(target.activations(maps), expected)


def test_a_layer_may_be_given_as_such_and_is_found_among_the_layers(net):
    layers = net.layers(torch.zeros(3, 16, 16))
    target = Target.of(net, (layers[0], 5, (13, 13)))
    assert target.find_layer(layers) is layers[0]
    assert Target.of(net, ("fc", 7)).find_layer(layers).name == "fc"
    numbers = torch.arange(8.0).reshape(1, 8)
    assert Target.of(net, ("fc", 7)).activations(numbers).tolist() == [7]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (("conf", 0), "did you mean 'conv'"),
        (("conv", 6), "6 channels, 0 to 5"),
        (("fc", 8), "8 numbers, 0 to 7"),
        (("conv", 0, (14, 0)), "maps are 14 x 14; y is 0 to 13"),
        (("fc", 0, (0, 0)), "no maps; give \\('fc', 0\\)"),
    ],
)
def test_units_that_are_not_there(net, value, message):
    with pytest.raises(ValueError, match=message):
        Target.of(net, value).find_layer(net.layers(torch.zeros(3, 16, 16)))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "target=-1: class indices begin at 0"),
        (True, TypeError, "target: a bool names no score; give a class index"),
        (1.0, TypeError, "a float names no score"),
        (nn.Linear, TypeError, "class Linear"),
        ("crane", ValueError, "2 classes are called so; give one of the indices 2, 5"),
        ("CRANE", ValueError, "indices 2, 5"),
        ("MAILLOT", ValueError, "indices 6, 7"),
        ("expresso", ValueError, "did you mean 'espresso' \\(3\\)"),
        ("cat", ValueError, "did you mean 'Tiger cat' \\(1\\)"),
        ("zzz", ValueError, "net.labels lists them all"),
        ("conv", ValueError, "For a unit of a layer give \\('conv', channel\\)"),
        ((), TypeError, "give a class index"),
        (("conv",), TypeError, "\\(layer, channel\\)"),
        ((3, 4), TypeError, "\\(layer, channel\\)"),
        (("conv", "max"), TypeError, "\\(layer, channel\\)"),
        (("conv", -1), ValueError, "channels begin at 0"),
        (("conv", 0, "mean"), ValueError, "'mean' is none of"),
        (("conv", 0, 4), TypeError, "no position"),
        (("conv", 0, (1,)), TypeError, "no position"),
        (("conv", 0, (1, -1)), ValueError, "positions begin at 0"),
    ],
)
def test_what_is_no_target(net, value, error, message):
    with pytest.raises(error, match=message):
        Target.of(net, value)


@pytest.mark.parametrize("value", [torch.tensor(2.0), torch.tensor([1, 2]), np.float32(2)])
def test_numbers_that_are_not_whole_name_no_class(net, value):
    with pytest.raises(TypeError, match="names no score; give a class index"):
        Target.of(net, value)


def test_labels_that_nobody_gave():
    with pytest.raises(ValueError, match="has no labels; give the index"):
        Target.of(nv.Network(tiny()), "cat")


def test_an_index_is_checked_once_the_number_of_classes_is_known(net):
    with pytest.raises(ValueError, match="target=8: there are 8 classes; give 0 to 7"):
        Target.of(net, 8, logits=LOGITS[0])
    with pytest.raises(ValueError, match="there are 8 classes"):
        Target.of(net, 8).scores(LOGITS)


def test_functions_get_the_scores_of_one_image(net):
    assert Target.of(net, double).name == "double"
    torch.testing.assert_close(Target.of(net, double).scores(LOGITS), 2 * LOGITS[:, 3])
    # A probability is handed over where that is asked for; plain numbers may come back.
    got = Target.of(net, lambda p: float(p.sum())).scores(LOGITS, "probability")
    torch.testing.assert_close(got, torch.ones(4))
    assert Target.of(net, double).scores(LOGITS[:0]).shape == (0,)


def test_gradients_flow_through_every_kind(net):
    maps = torch.randn(1, 6, 4, 4, requires_grad=True)
    logits = LOGITS[:1].clone().requires_grad_()
    for value in (2, double):
        for score in ("logit", "probability"):
            (gradient,) = torch.autograd.grad(Target.of(net, value).scores(logits, score), logits)
            assert gradient.abs().sum() > 0
    (gradient,) = torch.autograd.grad(Target.of(net, ("conv", 2)).activations(maps), maps)
    assert gradient.sum() == 16


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda scores: scores, "returned \\(8,\\) for the scores \\(8,\\)"),
        (lambda scores: "a lot", "returned str"),
        (lambda scores: scores[:, 3], "given the scores \\(8,\\) of one image"),
    ],
)
def test_functions_that_return_no_number(net, function, message):
    with pytest.raises(ValueError, match=message):
        Target.of(net, function).scores(LOGITS)


def test_a_score_is_a_logit_or_a_probability(net):
    with pytest.raises(ValueError, match="score='softmax': choose one of"):
        Target.of(net, 0).scores(LOGITS, "softmax")
    with pytest.raises(ValueError, match='leave score="logit"'):
        Target.of(net, ("conv", 0)).scores(LOGITS, "probability")
    with pytest.raises(ValueError, match="maps of its layer"):
        Target.of(net, ("conv", 0)).scores(LOGITS)


@pytest.mark.parametrize("rows", [LOGITS, LOGITS[:, :1], LOGITS.softmax(1), LOGITS.softmax(1) * 2])
def test_probabilities_are_those_of_predict(rows):
    expected = torch.stack([_model.probabilities(row) for row in rows])
    torch.testing.assert_close(probabilities(rows), expected)


def test_the_same_as_the_network_predicts(net):
    image = photo(30, 30)
    best = net.predict(image, k=1)[0]
    logits = net.logits(net.prepare(image))
    target = Target.of(net, None, logits=logits)
    assert target.index == best.index and target.name.startswith(best.label)
    assert float(target.scores(logits)[0]) == pytest.approx(best.logit)
    assert float(target.scores(logits, "probability")[0]) == pytest.approx(best.probability)


def test_a_target_is_a_target(net):
    target = Target.of(net, 3)
    assert Target.of(net, target) is target
    assert hash(target) == hash(Target.of(net, 3))
