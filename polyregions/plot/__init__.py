"""Figures with matplotlib.

Every function draws into given axes, or makes a figure of its own, and returns its artists. Faces
are drawn as collections, from the exact polygons; nothing is sampled unless a name says so.

:func:`partition`
    the faces, coloured by slope, value, layer, area or count, and their edges
:func:`output`
    the values of an output as an image
:func:`decisions`
    which output a network chooses where
:func:`gradient_comparison`
    finite differences of a sampled image beside the exact gradient
:func:`surface`
    the graph of the function in 3-D
:func:`line`
    the values along a segment, and its breakpoints
:func:`regions_by_depth`
    measured counts of regions against depth, beside bounds
"""

from __future__ import annotations

from polyregions.plot.decisions import DecisionArtists, decisions
from polyregions.plot.depth import regions_by_depth
from polyregions.plot.faces import PartitionArtists, partition
from polyregions.plot.line import LineArtists, line
from polyregions.plot.maps import gradient_comparison, output
from polyregions.plot.relief import surface

__all__ = [
    "DecisionArtists",
    "LineArtists",
    "PartitionArtists",
    "decisions",
    "gradient_comparison",
    "line",
    "output",
    "partition",
    "regions_by_depth",
    "surface",
]
