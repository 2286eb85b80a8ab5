"""Configuration of Sphinx: `python -m sphinx -W docs docs/_build` writes the documentation to docs/_build/index.html.

Docstrings are written to be read as plain text; what is markup to Sphinx (|x|, coefs_, 2 * x) is escaped on the way, and
their indented tables become literal blocks.
"""
import re
import sys
from pathlib import Path

from sphinx.addnodes import pending_xref

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))              # after an installed nnfast: a tree that is not built has none to describe

from nnfast import __version__ as release  # noqa: E402

project, author, copyright = "nnfast", "the authors of nnfast", "the authors of nnfast, BSD-3-Clause"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "matplotlib.sphinxext.plot_directive", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"nnfast {release}"
html_static_path, html_css_files = ["static"], ["wide.css"]
default_role = "code"
smartquotes = False             # "auto" is written with these quotes
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# scikit-learn writes those methods into its estimators; their docstrings point into its own pages
autodoc_default_options = {"exclude-members": "set_fit_request, set_partial_fit_request, set_score_request"}
autosummary_generate = False
numpydoc_show_class_members = False
myst_heading_anchors = 3
plot_html_show_source_link = plot_html_show_formats = False
plot_formats = [("png", 120)]
add_module_names = False


def plain_text(app, what, name, obj, options, lines):
    """Escapes the text of a docstring, and marks its tables as literal; before numpydoc, which knows the sections."""
    text, literal, example = [], False, False
    for line in lines:
        blank, indented = not line.strip(), line.startswith("    ")
        example = not blank and (example or line.lstrip().startswith(">>>"))
        if what == "module" and indented and not literal and text[-1:] == [""]:
            text += [".. code-block:: text", ""]
        literal = what == "module" and (indented or literal and blank)
        text.append(line if literal or example else escaped(line))
    lines[:] = text


def escaped(line):
    """A line without markup, but for what stands in backticks."""
    parts = re.split(r"(``.*?``|`.*?`)", line)
    parts[::2] = [re.sub(r"[|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def public_bases(app, name, obj, options, bases):
    """Of the bases of a class the first that has a name for users."""
    known = [base for base in obj.__mro__[1:] if base.__name__[0] != "_" and base is not object]
    bases[:] = known[:1] or [object]


def files_of_the_repository(app, doctree):
    """A link of README.md to a file of the repository is text here."""
    for node in list(doctree.findall(pending_xref)):
        if node["reftype"] == "myst" and (ROOT / node["reftarget"]).is_file():
            node.replace_self(node.children)


def setup(app):
    app.connect("autodoc-process-docstring", plain_text, priority=100)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("doctree-read", files_of_the_repository)
