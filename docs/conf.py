"""Configuration of Sphinx.

`python -m sphinx -W docs docs/_build` writes the documentation to docs/_build/index.html.

Docstrings are written as plain text. Text that Sphinx would read as markup (|x|, coefs_, 2 * x)
is escaped here, and indented tables become literal blocks.
"""
import re
import sys
from pathlib import Path

from sphinx.addnodes import pending_xref

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))              # last: an installed nnfast comes first, as a clone may not be compiled

from nnfast import __version__ as release  # noqa: E402

project, author, copyright = "nnfast", "the authors of nnfast", "the authors of nnfast, BSD-3-Clause"
extensions = [
    "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "matplotlib.sphinxext.plot_directive", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"nnfast {release}"
html_static_path, html_css_files = ["static"], ["wide.css"]
default_role = "code"
smartquotes = False             # keeps the straight quotes of code such as "auto"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
# scikit-learn adds these methods to its estimators; their docstrings link to its own pages
autodoc_default_options = {"exclude-members": "set_fit_request, set_partial_fit_request, set_score_request"}
autosummary_generate = False
numpydoc_show_class_members = False
myst_heading_anchors = 3
plot_html_show_source_link = plot_html_show_formats = False
plot_formats = [("png", 120)]
add_module_names = False


def plain_text(app, what, name, obj, options, lines):
    """Escapes the text of a docstring and marks its tables as literal blocks.

    It must run before numpydoc, which reads the sections.
    """
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
    """A line with its markup escaped, except in backticks."""
    parts = re.split(r"(``.*?``|`.*?`)", line)
    parts[::2] = [re.sub(r"[|*]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def public_bases(app, name, obj, options, bases):
    """Shows only the first public base of a class."""
    known = [base for base in obj.__mro__[1:] if base.__name__[0] != "_" and base is not object]
    bases[:] = known[:1] or [object]


def files_of_the_repository(app, doctree):
    """Turns the links of README.md to files of the repository into plain text."""
    for node in list(doctree.findall(pending_xref)):
        if node["reftype"] == "myst" and (ROOT / node["reftarget"]).is_file():
            node.replace_self(node.children)


def setup(app):
    app.connect("autodoc-process-docstring", plain_text, priority=100)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("doctree-read", files_of_the_repository)
