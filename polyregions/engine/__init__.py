"""The compiled engine: the subdivision in float64, with every decision proven."""

from polyregions.engine.subdivision import subdivide as subdivide
