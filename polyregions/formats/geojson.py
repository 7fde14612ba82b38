"""A partition as GeoJSON (RFC 7946), for geographic tools and web maps.

Coordinates are those of the domain, not longitude and latitude: the one point in which the
standard is bent, as everyone does who draws planes with it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from polyregions.network import ByteArray
    from polyregions.partition import Partition


def feature_collection(part: Partition) -> dict[str, Any]:
    """The faces as a FeatureCollection of plain Python objects, ready for `json.dump`.

    Every feature is a polygon with one closed, counter-clockwise ring, and has as its ``id`` and
    its property ``face`` the index of the face. Further properties: ``area``, ``pattern`` (see
    `pattern_texts`), ``weight`` (M rows of 2), ``bias`` (M), and the numbers ``linear_region`` and
    ``affine_piece``. On a domain that is not convex, where a region may be several faces, there is
    the number ``activation_region``, too.

    Coordinates are rounded to float64, so a face thinner than the spacing of float64 numbers may
    come out without area.
    """
    is_unbounded, areas = part.face_is_unbounded.tolist(), part.areas.tolist()
    # JSON knows no infinity.
    areas = [None if endless else a for a, endless in zip(areas, is_unbounded, strict=True)]
    part = part._shown
    corners = part.vertex_xy[part.face_vertices].tolist()
    columns = zip(
        pairwise(part.face_offsets.tolist()),
        areas,
        pattern_texts(part.face_pattern),
        part.face_weight.tolist(),
        part.face_bias.tolist(),
        part.face_linear_region.tolist(),
        part.face_affine_piece.tolist(),
        strict=True,
    )
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        "bbox": list(part.domain.bounds),
        "features": [
            {
                "type": "Feature",
                "id": f,
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[*corners[begin:end], list(corners[begin])]],
                },
                "properties": {
                    "face": f,
                    "area": area,
                    "pattern": pattern,
                    "weight": weight,
                    "bias": bias,
                    "linear_region": region,
                    "affine_piece": piece,
                },
            }
            for f, ((begin, end), area, pattern, weight, bias, region, piece) in enumerate(columns)
        ],
    }
    if not part.domain.is_convex:
        regions = part.face_activation_region.tolist()
        for feature, region in zip(collection["features"], regions, strict=True):
            feature["properties"]["activation_region"] = region
    return collection


def pattern_texts(patterns: ByteArray) -> list[str]:
    """Activation patterns, (F, H), as texts: one digit for each unit, such as ``"0110"``.

    Where a unit is on a piece above 9, all numbers of that pattern are separated by commas.
    """
    n_units = patterns.shape[1]
    long = patterns.max(axis=1, initial=0) > 9
    digits = (patterns + np.uint8(ord("0"))).tobytes()
    texts = [
        digits[i : i + n_units].decode("latin-1")
        for i in range(0, len(long) * n_units, n_units or 1)
    ] or [""] * len(long)
    for f in np.flatnonzero(long).tolist():
        texts[f] = ",".join(map(str, patterns[f].tolist()))
    return texts
