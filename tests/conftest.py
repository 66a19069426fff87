"""A small generated data set, through the real generator and loaders, for the tests that need a whole run."""

import pytest

from smp import paths
from smp.data import demo, load_posts


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """Folder of 600 generated image posts (no pictures) and the video posts beside them."""
    folder = tmp_path_factory.mktemp("demo") / "input"
    demo.generate(folder, posts=600, images=False, seed=7)
    return folder


@pytest.fixture
def demo_run(demo_folder, tmp_path, monkeypatch):
    """An empty project folder in the small profile, which finds the generated data as its official files."""
    monkeypatch.setenv("SMP_INPUT", str(demo_folder))
    monkeypatch.setenv("SMP_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("SMP_SUBMISSIONS", str(tmp_path / "submissions"))
    monkeypatch.setenv("SMP_PROFILE", "small")
    load_posts.cache_clear()
    yield paths.output("image")
    load_posts.cache_clear()
