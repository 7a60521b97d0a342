"""Configuration of the site: `make docs` builds it."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import generate  # noqa: E402  # lies beside this file

import rnn_lab  # noqa: E402

generate.write_pages(DOCS / "_generated")
generate.copy_notebooks(DOCS / "notebooks")

project = "rnn_lab"
author = copyright = "The rnn_lab authors"  # Sphinx reads this name
version = release = rnn_lab.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_generated"]  # generated files are included in pages
html_theme = "furo"
html_title = "rnn_lab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
pygments_style, pygments_dark_style = "default", "github-dark"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks show the outputs that `make notebooks` checks
nb_merge_streams = True

toc_object_entries_show_parents = "hide"
default_role = "code"  # docstrings write names and formulas between single backticks
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp, .go"
suppress_warnings = ["mystnb.unknown_mime_type"]


def _relocate(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links between pages and notebooks of the repository lead to their places in the site."""
    if docname.startswith("notebooks/"):
        source[0] = source[0].replace("(../docs/", "(../")
    else:
        source[0] = re.sub(r"\((\.\./)?\.\./notebooks/", r"(\1notebooks/", source[0])


def _show_dark_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Show the dark version of a picture, where there is one, while the page is dark."""
    folder = Path(app.env.doc2path(app.env.docname)).parent
    for image in list(doctree.findall(nodes.image)):
        path = Path(image["uri"])
        dark = path.with_stem(f"{path.stem}_dark")
        if (folder / dark).exists():
            copy = image.deepcopy()
            copy["uri"] = dark.as_posix()
            copy["classes"].append("only-dark")
            image["classes"].append("only-light")
            image.parent.insert(image.parent.index(image) + 1, copy)


def setup(app: Sphinx) -> None:
    """Register the event handlers above."""
    app.connect("source-read", _relocate)
    app.connect("doctree-read", _show_dark_pictures, priority=100)  # before images are collected
