"""The result: the planar complex of all faces, with the affine map on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polyregions import exact, location
from polyregions.domain import Domain
from polyregions.exact import Triple
from polyregions.network import ByteArray, FloatArray, IntArray

if TYPE_CHECKING:
    from shapely import Polygon


class RegionCount(NamedTuple):
    """The counts that the literature calls "number of linear regions", each under its name.

    Attributes
    ----------
    activation_regions : int
        Cells with one activation pattern (Hanin & Rolnick 2019): the faces.
    linear_regions : int
        Connected sets on which the network is one affine map: faces merged across edges.
    affine_pieces : int
        Distinct affine maps, connected or not.
    """

    activation_regions: int
    linear_regions: int
    affine_pieces: int


@dataclass(frozen=True)
class Certificate:
    """How a partition was decided, and what its self-check found.

    Attributes
    ----------
    engine : str
        Which engine made the partition.
    decisions : mapping of str to int
        How many geometric decisions each arithmetic settled. The rational engine makes every
        one in integers.
    seconds : mapping of str to float
        How long each stage took, if the engine kept time. Not part of comparisons.
    largest_vertex_error, largest_map_error : float
        The largest error bound of a coordinate, and of a coefficient of an affine map.
    euler_characteristic : int
        V - E + F. It is 1 for a subdivision of a disc.
    sides_matched : bool
        Whether every side of a face is an edge with that face on the proper hand, and every
        edge is a side of its faces.
    border_closed : bool
        Whether the edges with a face on one side only run once around the domain.
    labels_consistent : bool
        Whether `edge_unit` is the lowest unit whose piece differs between the two faces.
    faces_convex : bool
        Whether every face is strictly convex and counter-clockwise, in exact arithmetic.
    patterns_distinct : bool
        Whether no two faces have the same activation pattern.
    pieces_consistent : bool
        Whether faces with one number in `face_affine_piece` have one rounded map.
    coordinates_bounded : bool
        Whether every coordinate is within `vertex_error` of the exact one.
    faces_area : Fraction
        Sum of the exact areas of all faces.
    domain_area : Fraction
        Exact area of the domain.
    """

    engine: str
    decisions: Mapping[str, int]
    seconds: Mapping[str, float] = field(compare=False)
    largest_vertex_error: float
    largest_map_error: float
    euler_characteristic: int
    sides_matched: bool
    border_closed: bool
    labels_consistent: bool
    faces_convex: bool
    patterns_distinct: bool
    pieces_consistent: bool
    coordinates_bounded: bool
    faces_area: Fraction
    domain_area: Fraction

    @property
    def checks(self) -> dict[str, bool]:
        """Every check in words, and whether it holds."""
        return {
            f"V - E + F is 1 (it is {self.euler_characteristic})": self.euler_characteristic == 1,
            "every side of a face is an edge of it": self.sides_matched,
            "the border runs once around the domain": self.border_closed,
            "edges are labelled by the unit that switches": self.labels_consistent,
            "faces are strictly convex": self.faces_convex,
            "activation patterns are distinct": self.patterns_distinct,
            "affine pieces are numbered by their maps": self.pieces_consistent,
            "coordinates are within their error bounds": self.coordinates_bounded,
            f"the faces' exact areas add up to the domain's, {exact.text(self.domain_area)}": (
                self.faces_area == self.domain_area
            ),
        }

    @property
    def failures(self) -> tuple[str, ...]:
        """The checks that do not hold."""
        return tuple(f"not so: {what}" for what, holds in self.checks.items() if not holds)

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return not self.failures

    def __str__(self) -> str:
        decided = ", ".join(f"{count:,} in {how} numbers" for how, count in self.decisions.items())
        lines = [f"engine {self.engine}; signs decided: {decided}"]
        lines += [f"  {'yes' if holds else 'NO '}  {what}" for what, holds in self.checks.items()]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Partition:
    """A domain cut into the regions of a network: vertices, edges, faces and their maps.

    V, E, F count vertices, edges and faces; H and M units and outputs. All arrays are read-only;
    an index of -1 means "none".

    Attributes
    ----------
    domain : Domain
        The polygon that is partitioned.
    vertex_xy : (V, 2) float64
        Coordinates of the vertices, rounded.
    vertex_error : (V, 2) float64
        Bounds on the distance of each coordinate from the exact one. The rational engine rounds
        to nearest; the compiled one proves what it states.
    vertex_exact : sequence of V triples (X, Y, W) of int
        The exact vertices ``(X / W, Y / W)``, with ``W > 0`` and without common factor.
    edge_vertices : (E, 2) int32
        The end points of every edge.
    edge_faces : (E, 2) int32
        The faces on the left and on the right of an edge, seen from its first to its second end
        point; -1 outside the domain. The left one is never -1.
    edge_unit : (E,) int32
        The unit that switches across the edge, the lowest if several do (see `edge_units`);
        -1 on the border of the domain.
    face_offsets : (F + 1,) int32
        Face f has the vertices ``face_vertices[face_offsets[f]:face_offsets[f + 1]]``.
    face_vertices : int32
        The vertices of all faces, each counter-clockwise.
    face_pattern : (F, H) uint8
        The activation pattern: the piece of every unit, 1 where a ReLU is active, else 0.
    face_weight : (F, M, 2) float64
    face_bias : (F, M) float64
        The affine map on a face, ``f(x) = face_weight @ x + face_bias``, rounded.
    face_weight_error : (F, M, 2) float64
    face_bias_error : (F, M) float64
        Bounds on the distance of each coefficient from the exact one.
    face_affine_piece : (F,) int32
        Number of the face's exact affine map: equal exactly where the maps are equal.
    unit_layer : (H,) int32
        The activation layer of every unit, from 0.
    engine : str
        The engine that made the partition.
    decisions : mapping of str to int
        How many geometric decisions were settled in each arithmetic.
    seconds : mapping of str to float
        How long each stage took, in seconds.
    """

    domain: Domain
    vertex_xy: FloatArray
    vertex_error: FloatArray
    vertex_exact: Sequence[Triple]
    edge_vertices: IntArray
    edge_faces: IntArray
    edge_unit: IntArray
    face_offsets: IntArray
    face_vertices: IntArray
    face_pattern: ByteArray
    face_weight: FloatArray
    face_bias: FloatArray
    face_weight_error: FloatArray
    face_bias_error: FloatArray
    face_affine_piece: IntArray
    unit_layer: IntArray
    engine: str
    decisions: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                # Indices take four bytes each: half of what a large partition needs.
                dtype = np.int32 if value.dtype.kind == "i" else value.dtype
                array = np.ascontiguousarray(value, dtype=dtype)
                if array.flags.writeable:
                    array = array.copy() if array is value else array
                    array.flags.writeable = False
                object.__setattr__(self, item.name, array)

    def __reduce__(self) -> tuple[type[Partition], tuple[Any, ...]]:
        """Copy and pickle by the constructor, so that copies are read-only too."""
        return Partition, tuple(getattr(self, item.name) for item in fields(self))

    # -- sizes ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.n_faces

    @property
    def n_faces(self) -> int:
        """F, the number of activation regions."""
        return len(self.face_offsets) - 1

    @property
    def n_edges(self) -> int:
        """E."""
        return len(self.edge_vertices)

    @property
    def n_vertices(self) -> int:
        """V."""
        return len(self.vertex_xy)

    @property
    def n_units(self) -> int:
        """H."""
        return len(self.unit_layer)

    @property
    def n_outputs(self) -> int:
        """M."""
        return int(self.face_bias.shape[1])

    # -- geometry ------------------------------------------------------------------------------

    def face(self, f: int) -> IntArray:
        """The vertices of face `f`, counter-clockwise."""
        f = range(self.n_faces)[f]
        return self.face_vertices[self.face_offsets[f] : self.face_offsets[f + 1]]

    def exact_vertex(self, i: int) -> tuple[Fraction, Fraction]:
        """The exact coordinates of vertex `i`.

        Examples
        --------
        >>> import polyregions as pr
        >>> part = pr.partition([([[3.0, 0.0]], [-1.0])], domain=(0, 1))
        >>> pr.partition([([[3, 1]], [-1]), ([[1]], [0])], domain=(0, 1)).exact_vertex(1)
        (Fraction(1, 3), Fraction(0, 1))
        """
        return exact.to_fractions(self.vertex_exact[i])

    def exact_polygon(self, f: int) -> list[Triple]:
        """The exact corners of face `f` as homogeneous integers, counter-clockwise."""
        return [self.vertex_exact[v] for v in self.face(f).tolist()]

    @cached_property
    def _exact_areas(self) -> list[Fraction]:
        return [exact.area(self.exact_polygon(f)) for f in range(self.n_faces)]

    @cached_property
    def areas(self) -> FloatArray:
        """(F,) float64: the area of every face, rounded once from the exact one."""
        return _read_only([exact.rounded(*a.as_integer_ratio()) for a in self._exact_areas])

    @cached_property
    def centroids(self) -> FloatArray:
        """(F, 2) float64: the centre of mass of every face, rounded once from the exact one.

        A face too thin for float64 may not hold its rounded centroid.
        """
        exact_centroids = [exact.centroid(self.exact_polygon(f)) for f in range(self.n_faces)]
        return _read_only([[float(x), float(y)] for x, y in exact_centroids])

    @cached_property
    def polygons(self) -> np.ndarray[Any, np.dtype[np.object_]]:
        """(F,) array of shapely polygons, with the rounded coordinates of `vertex_xy`.

        A face thinner than the spacing of float64 numbers may come out as an invalid polygon.
        """
        import shapely

        closed = [np.append(self.face(f), self.face(f)[0]) for f in range(self.n_faces)]
        ring = np.repeat(np.arange(self.n_faces), np.diff(self.face_offsets) + 1)
        rings = shapely.linearrings(self.vertex_xy[np.concatenate(closed)], indices=ring)
        polygons: np.ndarray[Any, np.dtype[np.object_]] = shapely.polygons(rings)
        polygons.flags.writeable = False
        return polygons

    def polygon(self, f: int) -> Polygon:
        """Face `f` as a shapely polygon."""
        polygon: Polygon = self.polygons[f]
        return polygon

    # -- edges ---------------------------------------------------------------------------------

    @cached_property
    def is_inner(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(E,) bool: whether an edge has a face on both sides."""
        return _read_only(self.edge_faces[:, 1] >= 0)

    @cached_property
    def is_crease(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(E,) bool: whether the affine map changes across the edge, exactly decided."""
        left, right = self.face_affine_piece[self.edge_faces].T
        return _read_only(self.is_inner & (left != right))

    @cached_property
    def edge_layer(self) -> IntArray:
        """(E,) int32: the activation layer of `edge_unit`, -1 on the border."""
        layer = np.full(self.n_edges, -1, dtype=np.int32)
        layer[self.is_inner] = self.unit_layer[self.edge_unit[self.is_inner]]
        return _read_only(layer)

    def edge_units(self, e: int) -> IntArray:
        """All units that switch across edge `e`, in increasing order."""
        left, right = self.edge_faces[e]
        if right < 0:
            return np.empty(0, dtype=np.int64)
        switches: IntArray = np.flatnonzero(self.face_pattern[left] != self.face_pattern[right])
        return switches

    # -- the function --------------------------------------------------------------------------

    def locate(self, points: ArrayLike) -> IntArray:
        """Find the face of each point.

        Exact: the points are read as float64 numbers and compared with the exact edges.

        Parameters
        ----------
        points : (..., 2) array_like of float
            One point, or an array of points of any shape.

        Returns
        -------
        (...) int64
            Index of the face; -1 outside the domain and for NaN. A point on an edge or a vertex
            belongs to the face with the lowest index there.

        Raises
        ------
        ValueError
            If the last axis of `points` is not of length 2.

        Notes
        -----
        A million points on a hundred thousand faces take some tenths of a second, of which
        compiled code walks from face to face. Points that float64 cannot tell from an edge are
        compared in integers, a microsecond or two each; where vertices are to be worked out for
        that, as for partitions of the compiled engine, the first at an edge may take
        milliseconds.

        Examples
        --------
        >>> import polyregions as pr
        >>> part = pr.partition([([[1, 1]], [0]), ([[1]], [0])], domain=(-1, 1))  # max(x + y, 0)
        >>> part.locate([[-0.5, 0.25], [0.5, 0.25], [0.5, -0.5], [2, 0]])
        array([ 0,  1,  0, -1])
        >>> int(part.locate([0.5, 0.25]))
        1
        """
        xy = _as_points(points)
        return self._locator.locate(xy.reshape(-1, 2)).reshape(xy.shape[:-1])

    @cached_property
    def _locator(self) -> location.Locator:
        return location.Locator(
            self.vertex_xy,
            self.vertex_error,
            self.vertex_exact,
            self.face_offsets,
            self.face_vertices,
            self.domain.xy,
        )

    def __call__(self, points: ArrayLike) -> FloatArray:
        """Values of the network, (..., M) float64, at points (..., 2); NaN outside the domain."""
        xy = _as_points(points)
        face = self.locate(xy)
        values = np.einsum("...mi,...i->...m", self.face_weight[face], xy) + self.face_bias[face]
        values[face < 0] = np.nan
        return values

    # -- counts --------------------------------------------------------------------------------

    @cached_property
    def face_linear_region(self) -> IntArray:
        """(F,) int32: number of the linear region, connected through edges, of every face."""
        return _read_only(self._linear_regions(through_vertices=False))

    def count(self, *, through_vertices: bool = False) -> RegionCount:
        """Count regions in each sense of the word.

        Parameters
        ----------
        through_vertices : bool
            Whether faces with the same affine map that share no more than a vertex are one
            linear region (the closed variant) or two (the open one, the default).

        Examples
        --------
        >>> import polyregions as pr
        >>> layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 0]], [0])]  # the second unit is unused
        >>> pr.partition(layers).count()
        RegionCount(activation_regions=4, linear_regions=2, affine_pieces=2)
        """
        region = (
            self._linear_regions(through_vertices=True)
            if through_vertices
            else self.face_linear_region
        )
        return RegionCount(
            activation_regions=self.n_faces,
            linear_regions=len(np.unique(region)),
            affine_pieces=len(np.unique(self.face_affine_piece)),
        )

    def _linear_regions(self, *, through_vertices: bool) -> IntArray:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if through_vertices:
            # Join each face with a node for (vertex, affine piece) at every corner.
            face = np.repeat(np.arange(self.n_faces), np.diff(self.face_offsets))
            corner = np.stack([self.face_vertices, self.face_affine_piece[face]])
            _, node = np.unique(corner, axis=1, return_inverse=True)
            pairs = np.stack([face, node.ravel() + self.n_faces])
        else:
            pairs = self.edge_faces[self.is_inner & ~self.is_crease].T
        n = int(max(pairs.max(initial=-1) + 1, self.n_faces))
        graph = coo_array((np.ones(pairs.shape[1], dtype=np.int8), tuple(pairs)), shape=(n, n))
        _, label = connected_components(graph, directed=False)
        _, region = np.unique(label[: self.n_faces], return_inverse=True)
        return region.astype(np.int32)

    # -- certificate ---------------------------------------------------------------------------

    @cached_property
    def certificate(self) -> Certificate:
        """How the decisions were made, and a full self-check in exact arithmetic.

        Worked out when first asked for. A partition that an engine returned always passes; one
        that was read from a file or put together by hand may not.
        """
        return Certificate(
            engine=self.engine,
            decisions=self.decisions,
            seconds=self.seconds,
            largest_vertex_error=float(self.vertex_error.max()),
            largest_map_error=float(max(self.face_weight_error.max(), self.face_bias_error.max())),
            euler_characteristic=self.n_vertices - self.n_edges + self.n_faces,
            sides_matched=self._sides_match(),
            border_closed=self._border_is_closed(),
            labels_consistent=self._labels_are_consistent(),
            faces_convex=all(self._is_convex(f) for f in range(self.n_faces)),
            patterns_distinct=len({row.tobytes() for row in self.face_pattern}) == self.n_faces,
            pieces_consistent=self._pieces_are_consistent(),
            coordinates_bounded=self._coordinates_are_bounded(),
            faces_area=exact.total(self._exact_areas),
            domain_area=self.domain.exact_area,
        )

    def _sides_match(self) -> bool:
        """Whether faces and edges say the same of who is next to whom."""
        offsets = self.face_offsets
        start, end = self.face_vertices, np.roll(self.face_vertices, -1)
        end[offsets[1:] - 1] = start[offsets[:-1]]
        face = np.repeat(np.arange(self.n_faces), np.diff(offsets))
        sides = np.stack([start, end, face], axis=1)
        left, right = self.edge_faces.T
        inner = right >= 0
        expected = np.concatenate(
            [
                np.column_stack([self.edge_vertices, left]),
                np.column_stack([self.edge_vertices[inner, ::-1], right[inner]]),
            ]
        )
        return sides.shape == expected.shape and bool(
            np.array_equal(np.unique(sides, axis=0), np.unique(expected, axis=0))
        )

    def _labels_are_consistent(self) -> bool:
        inner = self.is_inner
        left, right = self.edge_faces[inner].T
        differs = self.face_pattern[left] != self.face_pattern[right]
        if not differs.any(axis=1).all() or (self.edge_unit[~inner] != -1).any():
            return False
        return not differs.size or bool((differs.argmax(axis=1) == self.edge_unit[inner]).all())

    def _pieces_are_consistent(self) -> bool:
        """Whether faces with one number have one rounded map.

        Not the other way round: different exact maps may round to the same one.
        """
        maps = np.concatenate([self.face_weight.reshape(self.n_faces, -1), self.face_bias], axis=1)
        _, first, rank = np.unique(self.face_affine_piece, return_index=True, return_inverse=True)
        return bool((maps == maps[first[rank]]).all())

    def _coordinates_are_bounded(self) -> bool:
        """Whether ``|vertex_xy - exact| <= vertex_error``."""
        return all(
            abs(Fraction(a) - Fraction(x, w)) <= Fraction(dx)
            and abs(Fraction(b) - Fraction(y, w)) <= Fraction(dy)
            for (a, b), (dx, dy), (x, y, w) in zip(
                self.vertex_xy.tolist(), self.vertex_error.tolist(), self.vertex_exact, strict=True
            )
        )

    def _is_convex(self, f: int) -> bool:
        corners = self.exact_polygon(f)
        return len(corners) >= 3 and all(
            exact.orientation(corners[i - 2], corners[i - 1], corners[i]) > 0
            for i in range(len(corners))
        )

    def _border_is_closed(self) -> bool:
        """Whether the border edges form one cycle whose corners are the domain's."""
        after = dict(self.edge_vertices[~self.is_inner].tolist())
        if len(after) != np.count_nonzero(~self.is_inner):
            return False
        start = next(iter(after))
        cycle = [start]
        while (v := after.get(cycle[-1], start)) != start and len(cycle) <= len(after):
            cycle.append(v)
        points = [self.vertex_exact[v] for v in cycle]
        turns = [exact.orientation(points[i - 2], points[i - 1], p) for i, p in enumerate(points)]
        corners = {points[i - 1] for i, turn in enumerate(turns) if turn != 0}
        expected = {exact.point(x, y) for x, y in self.domain.xy.tolist()}
        return len(cycle) == len(after) and min(turns) >= 0 and corners == expected

    # -- files and pictures --------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the partition to `path` (``.npz``, nothing pickled); see `polyregions.load`."""
        from polyregions.formats import npz

        npz.write(path, self)

    def to_geojson(self) -> dict[str, Any]:
        """The faces as a GeoJSON FeatureCollection, ready for `json.dump`.

        Every feature is one face with its index, area, pattern, weight and bias. Coordinates
        are those of the domain, not longitude and latitude.
        """
        from polyregions.formats import geojson

        return geojson.feature_collection(self)

    def to_svg(self, path: str | PathLike[str] | None = None, *, width: int = 480) -> str:
        """Draw the faces, coloured by slope, as SVG; write it to `path` if one is given.

        Returns
        -------
        str
            The SVG document, `width` pixels wide.
        """
        from polyregions.formats import svg

        text = svg.document(self, width=width)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return text

    def _layers(self) -> str:
        widths = np.bincount(self.unit_layer).tolist()
        shape = f" ({'-'.join(map(str, widths))})" if widths else ""
        return f"{_number(self.n_units, 'unit')} in {_number(len(widths), 'layer')}{shape}"

    def __repr__(self) -> str:
        faces = _number(self.n_faces, "face")
        return f"<Partition of {self.domain}: {faces}, {self._layers()}>"

    def __str__(self) -> str:
        count = self.count()
        return "\n".join(
            [
                f"Partition of {self.domain} by {self._layers()}",
                f"  {_number(self.n_vertices, 'vertex', 'vertices')}, "
                f"{_number(self.n_edges, 'edge')}, {_number(self.n_faces, 'face')}",
                f"  {_number(count.activation_regions, 'activation region')}",
                f"  {_number(count.linear_regions, 'linear region')}",
                f"  {_number(count.affine_pieces, 'affine piece')}",
                f"  smallest face {exact.text(min(self._exact_areas))}, "
                f"largest {exact.text(max(self._exact_areas))}",
            ]
        )

    def _repr_html_(self) -> str:
        from html import escape

        return (
            '<div style="display:flex;gap:1em;align-items:center">'
            f"{self.to_svg(width=200)}<pre>{escape(str(self))}</pre></div>"
        )


def _number(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _read_only(values: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(values)
    array.flags.writeable = False
    return array


def _as_points(points: ArrayLike) -> FloatArray:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 2:
        raise ValueError(f"points must have shape (..., 2), got {array.shape}")
    return array
