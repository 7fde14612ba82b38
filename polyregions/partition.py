"""The result: the planar complex of all faces, with the affine map on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from polyregions import cycles, exact, infinity, location
from polyregions.domain import Domain, Plane
from polyregions.exact import Triple
from polyregions.limits import as_index
from polyregions.network import ByteArray, FloatArray, IntArray, Network
from polyregions.slice import Slice

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from shapely import Polygon

    from polyregions.certificate import Certificate
    from polyregions.jacobian import Jacobian


class RegionCount(NamedTuple):
    """The counts that the literature calls "number of linear regions", each under its name.

    Attributes
    ----------
    activation_regions : int
        Connected cells with one activation pattern (Hanin & Rolnick 2019): the faces, on a convex
        domain.
    linear_regions : int
        Connected sets on which the network is one affine map: faces merged across edges.
    affine_pieces : int
        Distinct affine maps, connected or not.
    """

    activation_regions: int
    linear_regions: int
    affine_pieces: int


@dataclass(frozen=True, eq=False)
class Partition:
    """A domain cut into the regions of a network: vertices, edges, faces and their maps.

    V, E, F count vertices, edges and faces; H and M units and outputs. All arrays are read-only;
    an index of -1 means "none".

    Attributes
    ----------
    domain : Domain
        The polygon that is partitioned, or the whole plane.
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
        -1 on the border of the domain, and on seams (see `edge_is_seam`).
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
        How many geometric decisions were settled in each arithmetic. Read-only.
    seconds : mapping of str to float
        How long each stage took, in seconds. Read-only.
    slice : Slice or None
        The plane of an input space of more dimensions that the domain lies in. All coordinates,
        and `face_weight`, are by those of the slice; `jacobian` is by all inputs.
    network : Network or None
        With a slice: the whole network, of all inputs. None without one.

    Raises
    ------
    ValueError
        If there is a slice without a network, or they are not of the same number of inputs.
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
    slice: Slice | None = None
    network: Network | None = None

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray):
                # Indices take four bytes each: half of what a large partition needs.
                dtype = np.int32 if value.dtype.kind == "i" else value.dtype
                array = np.ascontiguousarray(value, dtype=dtype)
                if array.flags.writeable:
                    array = array.copy() if array is value else array
                    array.flags.writeable = False
                object.__setattr__(self, name, array)
            elif isinstance(value, Mapping):
                object.__setattr__(self, name, MappingProxyType(dict(value)))
        inputs = [None if x is None else x.n_inputs for x in (self.slice, self.network)]
        if inputs[0] != inputs[1]:
            raise ValueError(
                "a partition has a slice and a network with as many inputs, or neither; got "
                f"{self.slice!r} and {self.network!r}"
            )

    def __reduce__(self) -> tuple[type[Partition], tuple[Any, ...]]:
        """Copy and pickle by the constructor, so that copies are read-only too."""
        values = (getattr(self, item.name) for item in fields(self))
        return Partition, tuple(dict(v) if isinstance(v, Mapping) else v for v in values)

    # -- sizes ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.n_faces

    @property
    def n_faces(self) -> int:
        """F, the number of faces: of activation regions, if the domain is convex."""
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
        f = as_index(f, self.n_faces, "face")
        return self.face_vertices[self.face_offsets[f] : self.face_offsets[f + 1]]

    def exact_vertex(self, i: int) -> tuple[Fraction, Fraction]:
        """The exact coordinates of vertex `i`.

        Examples
        --------
        >>> import polyregions as pr
        >>> part = pr.partition([([[3, 1]], [-1]), ([[1]], [0])], domain=(0, 1))  # 3x + y = 1
        >>> sorted(part.exact_vertex(v) for v in part.edge_vertices[part.is_inner][0])
        [(Fraction(0, 1), Fraction(1, 1)), (Fraction(1, 3), Fraction(0, 1))]
        """
        return exact.to_fractions(self.vertex_exact[i])

    def exact_polygon(self, f: int) -> list[Triple]:
        """The exact corners of face `f` as homogeneous integers, counter-clockwise."""
        return [self.vertex_exact[v] for v in self.face(f).tolist()]

    @cached_property
    def _exact_areas(self) -> list[Fraction]:
        return [exact.area(self.exact_polygon(f)) for f in range(self.n_faces)]

    @cached_property
    def _measured_areas(self) -> tuple[FloatArray, FloatArray]:
        from polyregions import measure

        areas, errors = measure.areas(self._shown)
        areas[self.face_is_unbounded], errors[self.face_is_unbounded] = np.inf, 0.0
        return _read_only(areas), _read_only(errors)

    @property
    def areas(self) -> FloatArray:
        """(F,) float64: the area of every face, within `area_error` of the exact one.

        The rational engine's are rounded once from the exact areas. Others are computed from the
        rounded corners, and exactly where those are not good enough; all are positive. Unbounded
        faces of the whole plane have infinite areas.

        Raises
        ------
        OverflowError
            If an area is too large for float64.
        """
        return self._measured_areas[0]

    @property
    def area_error(self) -> FloatArray:
        """(F,) float64: bounds on the distance of each area from the exact one.

        No more than a thousandth of the area, unless that is so small that float64 has no digits
        left for it, and far less for most faces.
        """
        return self._measured_areas[1]

    @cached_property
    def centroids(self) -> FloatArray:
        """(F, 2) float64: the centre of mass of every face.

        The rational engine's are rounded once from the exact ones, others are computed from the
        rounded corners. Each is in the closed face: what is not proven to be so by float64 is
        worked out exactly, and moved to a float64 point nearby where rounding led out of a thin
        face. A face too thin for float64 may hold no such point; then it is the rounded one.
        For an unbounded face of the whole plane it is that of the part that pictures show.
        """
        from polyregions import measure

        return _read_only(measure.centroids(self._shown))

    @cached_property
    def polygons(self) -> np.ndarray[Any, np.dtype[np.object_]]:
        """(F,) array of shapely polygons, with the rounded coordinates of `vertex_xy`.

        A face thinner than the errors of its corners may come out as an invalid polygon.
        Unbounded faces of the whole plane end at the border of the box of `domain.half_width`.
        """
        import shapely

        ring_offsets = self.face_offsets + np.arange(self.n_faces + 1)
        # Every ring ends with its first corner once more.
        corner = np.insert(
            self.face_vertices, self.face_offsets[1:], self.face_vertices[self.face_offsets[:-1]]
        )
        polygons: np.ndarray[Any, np.dtype[np.object_]] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON,
            self.vertex_xy[corner],
            (ring_offsets, np.arange(self.n_faces + 1)),
        )
        return _read_only(polygons)

    def polygon(self, f: int) -> Polygon:
        """Face `f` as a shapely polygon."""
        import shapely

        polygon: Polygon = shapely.Polygon(self.vertex_xy[self.face(f)])
        return polygon

    # -- the whole plane -----------------------------------------------------------------------

    @cached_property
    def vertex_is_infinite(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(V,) bool: whether a vertex is at infinity, in a partition of the whole plane.

        Such vertices are held on the border of a box, `domain.half_width` away from the origin:
        the box's four corners, and a vertex where each line leaves.
        """
        infinite = np.zeros(self.n_vertices, dtype=np.bool_)
        if isinstance(self.domain, Plane):
            infinite[self.edge_vertices[~self.is_inner]] = True
        return _read_only(infinite)

    @cached_property
    def face_is_unbounded(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(F,) bool: whether a face goes to infinity, in a partition of the whole plane."""
        corner = self.vertex_is_infinite[self.face_vertices]
        return _read_only(np.logical_or.reduceat(corner, self.face_offsets[:-1]))

    @cached_property
    def vertex_direction(self) -> FloatArray:
        """(V, 2) float64: where a vertex at infinity lies; zero for finite vertices.

        The larger coordinate is 1 or -1, the other is that of the exact direction, rounded once.

        Examples
        --------
        >>> import polyregions as pr
        >>> part = pr.partition([([[1, 2]], [-4]), ([[1]], [0])], domain=None)  # x + 2y = 4
        >>> leaves = ~(abs(part.vertex_direction) == 1).all(axis=1)  # not the box's corners
        >>> part.vertex_direction[leaves].tolist()
        [[1.0, -0.5], [-1.0, 0.5]]
        """
        return _read_only(
            self._outside.directions if self._outside else np.zeros_like(self.vertex_xy)
        )

    def rays(self, f: int) -> list[infinity.Ray]:
        """What goes to infinity of the border of face `f`, counter-clockwise.

        Two rays, or a whole line, or two lines for a strip; nothing for a bounded face, and for
        the plane itself.

        Examples
        --------
        >>> import polyregions as pr
        >>> cross = [([[1, 0], [0, 1]], [-1, -2]), ([[1, 1]], [0])]  # x = 1 and y = 2
        >>> part = pr.partition(cross, domain=None)
        >>> for ray in part.rays(int(part.locate([5, 5]))):
        ...     print(ray.point, ray.direction, ray.is_line)
        [1. 2.] [1. 0.] False
        [1. 2.] [0. 1.] False
        """
        f = as_index(f, self.n_faces, "face")
        return self._outside.rays(f) if self._outside else []

    def bounding_square(self) -> Fraction:
        """How far out there is structure: the smallest square around the origin with all of it.

        Returns
        -------
        Fraction
            The exact half-width of the smallest square around the origin that holds every finite
            vertex; 0 if there is none. Beyond it lines only run on, without meeting.

        Raises
        ------
        ValueError
            If the domain is bounded, so that nobody knows what is beyond.

        Examples
        --------
        >>> import polyregions as pr
        >>> lines = [([[1, 1], [2, -1]], [-1, 0]), ([[1, 1]], [0])]  # they meet in (1/3, 2/3)
        >>> pr.partition(lines, domain=None).bounding_square()
        Fraction(2, 3)
        """
        from polyregions.analysis.extent import extent

        if not isinstance(self.domain, Plane):
            raise ValueError(
                "the domain is bounded, so there may be more beyond it; take domain=None, the "
                "whole plane, or see polyregions.analysis.extent for what is in the domain"
            )
        return extent(self).half_width

    @cached_property
    def _outside(self) -> infinity.Outside | None:
        return infinity.Outside(self) if isinstance(self.domain, Plane) else None

    @cached_property
    def _shown(self) -> Partition:
        """What pictures show: of the whole plane a box around the bounded part."""
        return self._outside.shown() if self._outside else self

    # -- edges ---------------------------------------------------------------------------------

    @cached_property
    def is_inner(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(E,) bool: whether an edge has a face on both sides."""
        return _read_only(self.edge_faces[:, 1] >= 0)

    @cached_property
    def edge_is_seam(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(E,) bool: whether an edge has no meaning but to keep faces convex.

        Where the domain is not convex, a region at its border need not be either. It is cut into
        convex faces, along diagonals between its own corners: the seams. Both sides have one
        activation pattern and one affine map. There are none on a convex domain.

        Examples
        --------
        >>> import polyregions as pr
        >>> from shapely import box
        >>> domain = box(-2, -2, 2, 2) - box(0, 0, 2, 2)  # an L
        >>> part = pr.partition([([[1, 0]], [1]), ([[1]], [0])], domain)  # bends at x = -1
        >>> len(part), int(part.edge_is_seam.sum()), part.face_activation_region
        (3, 1, array([0, 1, 1], dtype=int32))
        """
        return _read_only(self.is_inner & (self.edge_unit < 0))

    @cached_property
    def is_crease(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(E,) bool: whether the affine map changes across the edge, exactly decided."""
        left, right = self.face_affine_piece[self.edge_faces].T
        return _read_only(self.is_inner & (left != right))

    @cached_property
    def edge_layer(self) -> IntArray:
        """(E,) int32: the activation layer of `edge_unit`, -1 on the border and on seams."""
        layer = np.full(self.n_edges, -1, dtype=np.int32)
        switches = self.edge_unit >= 0
        layer[switches] = self.unit_layer[self.edge_unit[switches]]
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
        flat = xy.reshape(-1, 2)
        found = self._locator.locate(flat)
        if self._outside:  # lines run on
            far = np.abs(flat).max(axis=1, initial=0.0)
            beyond = (far > self.domain.bounds[2]) & (far < np.inf)
            found[beyond] = self._outside.locate(flat[beyond])
        return found.reshape(xy.shape[:-1])

    @cached_property
    def _locator(self) -> location.Locator:
        return location.Locator(
            self.vertex_xy,
            self.vertex_error,
            self.vertex_exact,
            self.face_offsets,
            self.face_vertices,
            self.domain.xy,
            ring_offsets=None if self.domain.is_convex else self.domain.ring_offsets,
        )

    def __call__(self, points: ArrayLike) -> FloatArray:
        """Values of the network, (..., M) float64, at points (..., 2); NaN outside the domain."""
        xy = _as_points(points)
        face = self.locate(xy)
        values = np.einsum("...mi,...i->...m", self.face_weight[face], xy) + self.face_bias[face]
        values[face < 0] = np.nan
        return values

    def jacobian(self, f: int) -> FloatArray:
        """The derivative of all outputs by all inputs on face `f`.

        Parameters
        ----------
        f : int
            The face.

        Returns
        -------
        (M, n_inputs) float64
            With a slice, by the inputs of the whole network, numbered in the order of C; so
            ``part.jacobian(f)[m].reshape(part.slice.shape)`` is the gradient of output m, a
            picture if inputs are. It is worked out exactly and every entry rounded once, to
            nearest. Without a slice the two coordinates are the inputs, and it is
            ``face_weight[f]``.

        Raises
        ------
        IndexError
            If there is no such face.
        OverflowError
            If an entry is too large for float64.

        Notes
        -----
        It takes the integer product of all weight matrices, for M rows: a millisecond for small
        networks, a tenth of a second for some hundred thousand weights.

        A unit that is zero on the whole face counts as inactive, so on such a face this is one
        of several derivatives that the network has in directions off the plane.

        Examples
        --------
        >>> import polyregions as pr
        >>> layers = [([[1, 2, 3], [4, 5, 6]], [0, 0]), ([[1, 1]], [0])]
        >>> part = pr.partition(layers, slice=pr.Slice.axes(0, 2, at=[0, 0, 0]))
        >>> face = part.locate([0.5, 0.5])
        >>> part.face_weight[face], part.jacobian(face)
        (array([[5., 9.]]), array([[5., 7., 9.]]))
        """
        f = as_index(f, self.n_faces, "face")
        if self._jacobian is None:
            return self.face_weight[f]
        return self._jacobian(self.face_pattern[f])

    @cached_property
    def _jacobian(self) -> Jacobian | None:
        from polyregions.jacobian import Jacobian

        return None if self.network is None else Jacobian(self.network)

    # -- counts --------------------------------------------------------------------------------

    @cached_property
    def face_activation_region(self) -> IntArray:
        """(F,) int32: number of the activation region that every face is a part of.

        The faces themselves, 0 to F - 1, if the domain is convex. If not, faces on both sides of
        a seam (see `edge_is_seam`) are parts of one region. Regions are connected: where the
        domain parts the points of one pattern, they are several.
        """
        if self.domain.is_convex:
            return _read_only(np.arange(self.n_faces, dtype=np.int32))
        return _read_only(self._components(self.edge_is_seam))

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
            activation_regions=int(self.face_activation_region.max()) + 1,
            linear_regions=int(region.max()) + 1,
            affine_pieces=int(np.count_nonzero(np.bincount(self.face_affine_piece))),
        )

    def _linear_regions(self, *, through_vertices: bool) -> IntArray:
        if not through_vertices:
            return self._components(self.is_inner & ~self.is_crease)
        # Join each face with a node for (vertex, affine piece) at every corner.
        start, _, face = cycles.sides(self.face_offsets, self.face_vertices)
        n_pieces = int(self.face_affine_piece.max()) + 1
        corner = start.astype(np.int64) * n_pieces + self.face_affine_piece[face]
        nodes, node = np.unique(corner, return_inverse=True)
        return self._connected((face, node + self.n_faces), self.n_faces + len(nodes))

    def _components(self, edges: np.ndarray[Any, np.dtype[np.bool_]]) -> IntArray:
        """Sets of faces that are connected across some inner edges, numbered from 0."""
        left, right = self.edge_faces[edges].T
        return self._connected((left, right), self.n_faces)

    def _connected(self, pairs: tuple[IntArray, IntArray], n: int) -> IntArray:
        """The component of each face in a graph of n nodes, of which faces are the first."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(len(pairs[0]), dtype=np.int8), pairs), shape=(n, n))
        # Components are numbered in the order of their lowest nodes, which are faces.
        _, label = connected_components(graph, directed=False)
        region: IntArray = label[: self.n_faces].astype(np.int32)
        return region

    @property
    def face_decision(self) -> ByteArray:
        """(F,) uint8: the output that is chosen on each face, of `polyregions.with_decision`.

        Raises
        ------
        ValueError
            If the last layer of the network is not a single unit.
        """
        from polyregions.analysis import decisions

        return decisions.face_decision(self)

    # -- neighbours ----------------------------------------------------------------------------

    @overload
    def dual_graph(self, *, edges: Literal[False] = ...) -> csr_array: ...
    @overload
    def dual_graph(self, *, edges: Literal[True]) -> tuple[csr_array, IntArray]: ...
    def dual_graph(self, *, edges: bool = False) -> csr_array | tuple[csr_array, IntArray]:
        """Neighbouring faces as a sparse matrix; see `polyregions.analysis.dual.dual_graph`.

        Parameters
        ----------
        edges : bool
            Whether to say, too, which edge lies between them.

        Returns
        -------
        graph : (F, F) scipy.sparse.csr_array of bool
            Symmetric; True where two faces share an edge. Fit for `scipy.sparse.csgraph`.
        edge : (nnz,) int32
            With ``edges=True``: the edge that each entry of ``graph.data`` stands for.

        Examples
        --------
        >>> import polyregions as pr
        >>> part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])])
        >>> part.dual_graph().sum(axis=1)  # four quarters with two neighbours each
        array([2, 2, 2, 2])
        """
        from polyregions.analysis import dual

        graph, edge = dual.dual_graph(self)
        return (graph, edge) if edges else graph

    def to_networkx(self, *, patterns: bool = False) -> Any:
        """The dual graph as a `networkx.Graph`; see `polyregions.analysis.dual.to_networkx`.

        Parameters
        ----------
        patterns : bool
            Whether nodes get the attribute `pattern`, too.
        """
        from polyregions.analysis import dual

        return dual.to_networkx(self, patterns=patterns)

    # -- certificate ---------------------------------------------------------------------------

    @cached_property
    def certificate(self) -> Certificate:
        """How the decisions were made, and a self-check of everything in the arrays.

        Worked out when first asked for; takes about a second per 100,000 faces. A partition that
        an engine returned always passes; one that was read from a file or put together by hand
        may not. `polyregions.certificate.certify` can compare more vertices with the exact ones.
        """
        from polyregions.certificate import certify

        return certify(self)

    # -- files and pictures --------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the partition to `path` (``.npz``, nothing pickled); see `polyregions.load`.

        Raises
        ------
        LimitError
            If the network belongs in the file and is so large that `polyregions.load` would not
            take it: a convolution of more than 2**27 products, or more than 2**26 values in all.
        OSError
            If the file cannot be written.
        """
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

    def _place(self) -> str:
        return f"{self.domain}" if self.slice is None else f"{self.domain} on {self.slice}"

    def __repr__(self) -> str:
        faces = _number(self.n_faces, "face")
        return f"<Partition of {self._place()}: {faces}, {self._layers()}>"

    def __str__(self) -> str:
        from polyregions import measure

        count = self.count()
        smallest, largest = measure.smallest_and_largest(self)
        n_unbounded = int(self.face_is_unbounded.sum())
        unbounded = f", {n_unbounded:,} of them unbounded" if n_unbounded else ""
        bounded = "bounded face" if n_unbounded else "face"
        return "\n".join(
            [
                f"Partition of {self._place()} by {self._layers()}",
                f"  {_number(self.n_vertices, 'vertex', 'vertices')}, "
                f"{_number(self.n_edges, 'edge')}, {_number(self.n_faces, 'face')}{unbounded}",
                f"  {_number(count.activation_regions, 'activation region')}",
                f"  {_number(count.linear_regions, 'linear region')}",
                f"  {_number(count.affine_pieces, 'affine piece')}",
                f"  smallest {bounded} {smallest}, largest {largest}",
            ]
        )

    def _repr_html_(self) -> str:
        from html import escape

        from polyregions.formats import svg

        return (
            '<div style="display:flex;gap:1em;align-items:center">'
            f"{svg.picture(self, width=200)}<pre>{escape(str(self))}</pre></div>"
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
