"""Pooling in the browser is pooling in Python: the same cases through both, and both say the same.

Maxima to the last bit, indices included; averages and L2 within 1e-6 of the window's size; sizes,
formulas and complaints to the letter.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from nbcnnviz.backend import pool, pool_arithmetic, pool_problem

JS = Path(__file__).resolve().parent.parent / "js"
CASES = 400

# One answer for each case: what is wrong, or sizes, formulas, values and indices.
RUN = """
import { readFileSync, writeFileSync } from "node:fs";
import { pool } from "%(src)s/pooling/pool.ts";
import { arithmetic, problem } from "%(src)s/pooling/settings.ts";

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));
const answers = cases.map(({ size, how, bits }) => {
  const wrong = problem(size, how);
  if (wrong) return { problem: wrong.text, field: wrong.field };
  const map = new Float32Array(new Uint32Array(bits).buffer);
  const made = pool(map, size[0], size[1], how);
  return {
    arithmetic: arithmetic(size, how),
    size: [made.height, made.width],
    bits: [...new Uint32Array(made.values.buffer, made.values.byteOffset, made.values.length)],
    indices: made.indices && [...made.indices],
  };
});
writeFileSync(process.argv[3], JSON.stringify(answers));
"""


def make(number: int) -> dict:
    """A case: a small map, often with ties, sometimes with NaN and infinities, and settings."""
    chance = np.random.default_rng(number)
    size = [int(n) for n in chance.integers(1, 14, 2)]
    kind = number % 4
    values = chance.normal(size=size).astype(np.float32)
    if kind == 1:
        values = chance.integers(-2, 3, size).astype(np.float32)
    elif kind == 2:
        odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1], np.float32)
        values = chance.choice(odd, size)
    elif kind == 3:
        values = (values * 10.0 ** chance.integers(-20, 20)).astype(np.float32)
    window = [int(n) for n in chance.integers(1, 6, 2)]
    how = {
        "op": str(chance.choice(["max", "avg", "l2", "global_avg", "global_max"], p=PARTS)),
        "window": window,
        "stride": [int(n) for n in chance.integers(1, 5, 2)],
        # Now and then more than is allowed.
        "padding": [int(chance.integers(0, k // 2 + 1 + (chance.random() < 0.1))) for k in window],
        "dilation": [int(n) for n in chance.integers(1, 3 + (chance.random() < 0.2), 2)],
        "ceil_mode": bool(chance.random() < 0.5),
        "count_include_pad": bool(chance.random() < 0.5),
        "divisor_override": None if chance.random() < 0.8 else int(chance.integers(1, 6)),
    }
    return {"size": size, "how": how, "values": values}


PARTS = [0.35, 0.3, 0.2, 0.08, 0.07]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict, dict]]:
    folder = tmp_path_factory.mktemp("contract")
    cases = [make(number) for number in range(CASES)]
    sent = [
        {"size": c["size"], "how": c["how"], "bits": c["values"].view(np.uint32).ravel().tolist()}
        for c in cases
    ]
    (folder / "cases.json").write_text(json.dumps(sent))
    (folder / "run.ts").write_text(RUN % {"src": (JS / "src").as_posix()})
    bundle = ["--bundle", "--format=esm", "--platform=node", f"--outfile={folder / 'run.mjs'}"]
    esbuild = JS / "node_modules" / ".bin" / "esbuild"
    subprocess.run([esbuild, folder / "run.ts", *bundle, "--log-level=error"], check=True)
    files = [str(folder / name) for name in ("run.mjs", "cases.json", "answers.json")]
    subprocess.run(["node", *files], check=True)
    found = json.loads((folder / "answers.json").read_text())
    assert len(found) == CASES
    return list(zip(cases, found, strict=True))


def split(how: dict) -> tuple[dict, dict]:
    """The settings, and how averages count."""
    counting = ("count_include_pad", "divisor_override")
    return {k: v for k, v in how.items() if k not in counting}, {k: how[k] for k in counting}


def test_both_complain_of_the_same_in_the_same_words(answers):
    complaints = 0
    for case, answer in answers:
        settings, counting = split(case["how"])
        text = pool_problem(case["size"], **settings, divisor_override=counting["divisor_override"])
        assert answer.get("problem") == text
        if text is not None:
            complaints += 1
            assert text.startswith(f"{answer['field']}=")
    assert 10 < complaints < CASES / 2


def test_both_count_the_same_in_the_same_words(answers):
    for case, answer in answers:
        if "problem" in answer:
            continue
        settings, _ = split(case["how"])
        for mine, theirs in zip(
            pool_arithmetic(case["size"], **settings), answer["arithmetic"], strict=True
        ):
            assert vars(mine) == theirs


def test_maxima_are_equal_to_the_last_bit(answers):
    seen = 0
    for case, answer in answers:
        if "problem" in answer or not case["how"]["op"].endswith("max"):
            continue
        settings, counting = split(case["how"])
        made = pool(torch.from_numpy(case["values"])[None], **settings, **counting)
        values = made.values[0].numpy()
        assert list(values.shape) == answer["size"]
        got = np.array(answer["bits"], np.uint32).view(np.float32).reshape(values.shape)
        # Any NaN is as good as any other; all else is the same bits, the sign of zero too.
        assert np.array_equal(np.isnan(got), np.isnan(values))
        solid = ~np.isnan(values)
        assert np.array_equal(got[solid].view(np.uint32), values[solid].view(np.uint32))
        if answer["indices"] is not None:
            assert answer["indices"] == made.indices.flatten().tolist()
        seen += 1
    assert seen > 80


def test_averages_and_l2_are_within_a_millionth(answers):
    seen = {"avg": 0, "l2": 0, "global_avg": 0}
    for case, answer in answers:
        op = case["how"]["op"]
        if "problem" in answer or op not in seen:
            continue
        settings, counting = split(case["how"])
        exact = torch.from_numpy(case["values"]).double()
        expected = pool(exact[None], **settings, **counting).values[0].numpy()
        got = np.array(answer["bits"], np.uint32).view(np.float32).reshape(expected.shape)
        # Sums of numbers of either sign may cancel: the scale is that of what is summed.
        scale = pool(exact.abs().nan_to_num(0, 0, 0)[None], **settings, **counting).values[0]
        with np.errstate(over="ignore", invalid="ignore"):
            single = expected.astype(np.float32)
            same = (got == single) | (np.isnan(got) & np.isnan(single))
            near = np.abs(got.astype(np.float64) - expected) <= 1e-6 * scale.numpy()
        assert np.all(same | near), (op, case["size"], case["how"])
        seen[op] += 1
    assert min(seen.values()) > 15
