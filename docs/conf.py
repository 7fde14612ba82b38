"""Sphinx configuration. Build with `make docs`, which draws the figures first."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

os.environ.setdefault("MPLBACKEND", "Agg")
HERE = Path(__file__).parent
FIGURES = HERE / "figures"

project = "polyregions"
author = "The polyregions developers"
copyright = "2026, The polyregions developers"
release = version = installed_version("polyregions")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "examples", "figures/README.md"]
templates_path = ["_templates"]

# -- pages -------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3

# Numbers in the text of the worksheet page come from the same run as its figures.
NUMBERS = FIGURES / "worksheet" / "numbers.json"
if not NUMBERS.exists():
    sys.exit(f"{NUMBERS} is missing: run scripts/make_figures.py first, or build with `make docs`")
myst_substitutions = json.loads(NUMBERS.read_text(encoding="utf-8"))

# -- the programming interface -----------------------------------------------------------------

default_role = "autolink"
autosummary_generate = True
autosummary_ignore_module_all = False
# `partition` and `Partition` would be one file where the file system ignores case.
autosummary_filename_map = {"polyregions.Partition": "polyregions.Partition-class"}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Every reference to a name of polyregions must resolve; names of other projects are not looked up,
# as that would need the network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!polyregions\.).*")]

# -- the gallery -------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "reset_modules": ("matplotlib",),
    "matplotlib_animations": False,
    "abort_on_example_error": True,
    "copyfile_regex": r".*\.rst",
}

# -- looks -------------------------------------------------------------------------------------

html_theme = "furo"
html_title = "polyregions"
html_static_path = ["_static"]
html_css_files = ["polyregions.css"]
html_copy_source = False
html_show_sourcelink = False

# -- formulas ----------------------------------------------------------------------------------

# MathML, which browsers draw by themselves: no script, and nothing from the network.
html_math_renderer = "mathml"


def _mathml(node: nodes.Element, *, as_block: bool) -> str:
    formula = tex2mathml(node.astext(), as_block=as_block)
    # All bars are those of absolute values, which take no space around them.
    return formula.replace(
        '<mo stretchy="false">|</mo>', '<mo stretchy="false" lspace="0" rspace="0">|</mo>'
    )


def _inline_formula(translator: Any, node: nodes.Element) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _displayed_formula(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="formula">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (_inline_formula, None), (_displayed_formula, None))
