"""Fixtures of the browser tests; what they can do is at the top of lab.py and static_page.py."""

from __future__ import annotations

import find_chromium
import pytest
from lab import FLAGS, Server
from playwright.sync_api import sync_playwright
from static_page import Site


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium. Browser tests are never skipped: without one they fail."""
    path = find_chromium.find()
    if path is None:
        pytest.fail(find_chromium.ADVICE, pytrace=False)
    return path


@pytest.fixture(scope="session")
def browser(chromium):
    """One browser for all tests; each opens a context of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab_server(browser, tmp_path_factory):
    server = Server("lab", tmp_path_factory.mktemp("lab"), browser)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def notebook7_server(browser, tmp_path_factory):
    server = Server("notebook", tmp_path_factory.mktemp("notebook7"), browser)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def site(browser, tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"), browser)
    yield site
    site.stop()


@pytest.fixture
def lab(lab_server):
    """JupyterLab 4: `lab.open(*cells)`."""
    yield lab_server
    lab_server.finish()


@pytest.fixture
def notebook7(notebook7_server):
    """Notebook 7: `notebook7.open(*cells)`."""
    yield notebook7_server
    notebook7_server.finish()


@pytest.fixture
def static_page(site):
    """A widget without Jupyter: `static_page.live(widget)`."""
    yield site
    site.finish()
