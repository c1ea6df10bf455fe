"""For pytest, which runs the same tests: what trial does by itself."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory):
    """Work in a temporary folder, where `TestCase.mktemp` makes its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tests"))
        yield
