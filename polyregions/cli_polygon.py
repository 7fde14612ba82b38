"""Polygons as the command line gets them: in GeoJSON files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyregions.errors import FormatError

if TYPE_CHECKING:
    from polyregions.domain import Domain

_WANTED = "GeoJSON with one Polygon or MultiPolygon: the bare geometry, a Feature of it, or a "
_WANTED += "FeatureCollection of that"


@dataclass(frozen=True)
class PolygonFile:
    """What ``--polygon`` says: a file, which is read when it is needed."""

    path: str


def read_polygon(path: str) -> Domain:
    """Read a file of GeoJSON (RFC 7946).

    Coordinates are taken as they are, x first, in the plane of the network.

    Raises
    ------
    FormatError
        If there is not one polygon in it, or no valid one.
    OSError
        If it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            found = json.load(file)
    except ValueError as error:  # no JSON, or no text at all
        raise FormatError(f"{path} is not JSON ({error})") from None
    geometry = _geometry(found, path)

    import numpy as np
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    from polyregions.domain import as_domain

    try:
        with np.errstate(invalid="ignore"):  # of NaN, which is refused below
            polygon = shape(geometry)
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise FormatError(
            f"{path}: its coordinates are not those of a {geometry['type']} ({error})"
        ) from None
    try:
        return as_domain(polygon)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path}: {error}") from None


def _geometry(found: Any, path: str) -> dict[str, Any]:
    """The geometry in some GeoJSON."""
    kind = _kind(found)
    if kind == "FeatureCollection":
        features = found.get("features")
        if not isinstance(features, list) or len(features) != 1:
            n = len(features) if isinstance(features, list) else 0
            raise FormatError(
                f"{path} holds {n} features, but a domain is one: {_WANTED}. Several polygons are "
                "one MultiPolygon"
            )
        (found,) = features
        kind = _kind(found)
    if kind == "Feature":
        found = found.get("geometry")
        kind = _kind(found)
    if kind not in ("Polygon", "MultiPolygon"):
        what = f"is a {kind}" if kind else "is no GeoJSON"
        raise FormatError(f"{path} {what}; it must be {_WANTED}")
    geometry: dict[str, Any] = found
    return geometry


def _kind(found: Any) -> str:
    kind = found.get("type") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else ""
