"""The harness sees what it is there to see: a test that cannot fail would prove nothing."""

from __future__ import annotations

import pytest

PROVOKE = """() => {
  console.error("bang");
  setTimeout(() => { throw new Error("thrown"); });
  setTimeout(() => alert("boo"));
  fetch("http://192.0.2.1/beacon").catch(() => null);
}"""


def test_an_error_in_a_cell_fails(lab):
    nb = lab.open("1 / 0")
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        nb.run(0)
    with pytest.raises(AssertionError, match="NameError"):
        nb.value("unknown")


def test_errors_dialogs_and_requests_are_noticed(lab):
    nb = lab.open("1")
    nb.check()
    nb.page.evaluate(PROVOKE)
    nb.until(lambda: nb.dialogs and nb.outside and len(nb.errors) >= 3)
    assert any("bang" in error for error in nb.errors)
    assert any("uncaught: thrown" in error for error in nb.errors)
    assert nb.dialogs == ["boo"]
    assert nb.outside == ["http://192.0.2.1/beacon"]
    for seen in (nb.errors, nb.dialogs, nb.outside):
        with pytest.raises(AssertionError):
            nb.check()
        seen.clear()


def test_a_notebook_is_saved_restarted_and_reopened(lab):
    nb = lab.open("x = 6 * 7\nprint(x)")
    assert nb.run(0)[0]["text"].strip() == "42"
    assert nb.value("x") == 42
    nb.save()
    assert nb.saved()["cells"][0]["outputs"]
    nb.restart()
    assert nb.value("'x' in globals()") is False
    nb.theme("dark")
    nb.reopen()
    assert nb.outputs(0)[0]["text"].strip() == "42"


@pytest.mark.parametrize("host", ["lab", "notebook7"])
def test_an_empty_notebook_is_quiet(host, request):
    nb = request.getfixturevalue(host).open("1")
    nb.run(0)
    nb.page.wait_for_timeout(1500)
    nb.check()
