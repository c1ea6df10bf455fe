"""How sphinx makes the pages: ``sphinx-build -W -b html doc doc/_build/html``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the extensions helptext and layout

from lttngnet import __version__

project = "lttngnet"
copyright = "the authors of lttngnet, MIT licence"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "helptext", "layout"]
exclude_patterns = ["_build", "machines/*.rst"]
default_role = "code"
highlight_language = "none"
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

html_theme = "alabaster"
html_theme_options = {
    "description": "LTTng's network streaming, on Twisted",
    "page_width": "1080px",
    "sidebar_width": "200px",
    "fixed_sidebar": True,
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_show_sourcelink = False
