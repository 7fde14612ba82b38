"""The certificate: what a partition's arrays say of themselves, checked without trusting them.

Let every face be strictly convex and counter-clockwise, the faces' sides and the edges match, the
border run once around the domain, and V - E + F be 1. Then the faces fill the domain without
overlap. For a face whose corners only turn left goes m >= 1 times around, so its inner angles make
(k - 2 m) pi, and those around an inner vertex make 2 pi w with w >= 1. Summed over everything and
put into Euler's formula, this leaves ``sum of (m - 1) + sum of (w - 1) = 0``; so each face goes
around once, and the faces at each vertex do, too. (For checks of this kind see Devillers, Liotta,
Preparata and Tamassia, *Checking the convexity of polytopes and the planarity of subdivisions*,
1998.) The areas must then add up to the domain's, which tests the coordinates.

A domain that is not convex makes known angles at its corners, of which the faces between two
border edges may make only 2 pi w more, with w >= 0. With the domain's own number for V - E + F, and
a border that runs once along every ring, the same sum again leaves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from polyregions import cycles, exact, measure
from polyregions.domain import Domain
from polyregions.errors import CertificateError
from polyregions.exact import Triple
from polyregions.float64 import TINY, U
from polyregions.measure import RELATIVE_ERROR
from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.partition import Partition

# How many vertices are compared with the exact ones where each of those costs some milliseconds.
SAMPLE = 200


@dataclass(frozen=True)
class Certificate:
    """How a partition was decided, and what its self-check found.

    Attributes
    ----------
    engine : str
        Which engine made the partition.
    decisions : mapping of str to int
        How many geometric decisions each arithmetic settled. Read-only.
    seconds : mapping of str to float
        How long each stage took, if the engine kept time. Not part of comparisons.
    largest_vertex_error, largest_map_error : float
        The largest error bound of a coordinate, and of a coefficient of an affine map.
    n_vertices, n_compared : int
        V, and how many vertices were compared with the exact ones: all of the rational engine's,
        a sample of `SAMPLE` of others unless all were asked for.
    n_corners, n_exact_turns : int
        The corners of all faces, and how many of them float64 could not prove to turn left, so
        that exact arithmetic decided.
    euler_characteristic : int
        V - E + F.
    euler_expected : int
        What that is for a subdivision of the domain: 1 for a convex one.
    arrays_valid : bool
        Whether lengths agree and no index points nowhere. If not, all other checks fail.
    sides_matched : bool
        Whether every side of a face is an edge with that face on the proper hand, and every
        edge is a side of its faces.
    border_closed : bool
        Whether the edges with a face on one side only run once around the domain, or once along
        each ring of one that is not convex. That vertices
        on a slanted side of the domain lie exactly on it is a matter of `n_compared`, too.
    labels_consistent : bool
        Whether `edge_unit` is the lowest unit whose piece differs between the two faces; if it is
        -1, none may.
    faces_convex : bool
        Whether every face is strictly convex and counter-clockwise: proven by float64 with error
        bounds, or else in exact arithmetic.
    patterns_distinct : bool
        Whether no two faces have the same activation pattern. On a domain that is not convex
        they may, but only with the same affine map.
    pieces_consistent : bool
        Whether faces with one number in `face_affine_piece` may have one map, within its error
        bounds, and faces whose maps are known without error to be equal have one number. The
        rational engine's maps with one number must be equal.
    maps_continuous : bool
        Whether the maps on both sides of an edge agree at both of its ends, within the bounds.
    coordinates_bounded : bool
        Whether coordinates are within `vertex_error` of the exact ones.
    faces_area : Fraction
        Sum of the areas of all faces.
    faces_area_error : Fraction
        A bound on the error of that sum: 0 where exact areas were added, as is done for the
        rational engine and where float64 would leave more than a thousandth in doubt.
    domain_area : Fraction
        Exact area of the domain.
    """

    engine: str
    decisions: Mapping[str, int]
    seconds: Mapping[str, float] = field(compare=False)
    largest_vertex_error: float
    largest_map_error: float
    n_vertices: int
    n_compared: int
    n_corners: int
    n_exact_turns: int
    euler_characteristic: int
    euler_expected: int
    arrays_valid: bool
    sides_matched: bool
    border_closed: bool
    labels_consistent: bool
    faces_convex: bool
    patterns_distinct: bool
    pieces_consistent: bool
    maps_continuous: bool
    coordinates_bounded: bool
    faces_area: Fraction
    faces_area_error: Fraction
    domain_area: Fraction

    def __post_init__(self) -> None:
        for name in ("decisions", "seconds"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[type[Certificate], tuple[Any, ...]]:
        """Copy and pickle by the constructor, for views of dictionaries cannot be."""
        values = (getattr(self, item.name) for item in fields(self))
        return Certificate, tuple(dict(v) if isinstance(v, Mapping) else v for v in values)

    @property
    def checks(self) -> dict[str, bool]:
        """Every check in words, and whether it holds."""
        off = abs(self.faces_area - self.domain_area)
        total = f"the domain's, {exact.text(self.domain_area)}"
        return {
            "arrays go together and indices point at something": self.arrays_valid,
            f"V - E + F is {self.euler_expected} (it is {self.euler_characteristic})": (
                self.euler_characteristic == self.euler_expected
            ),
            "every side of a face is an edge of it": self.sides_matched,
            "the border runs once around the domain": self.border_closed,
            "edges are labelled by the unit that switches": self.labels_consistent,
            f"faces are strictly convex ({self.n_corners:,} corners, {self.n_exact_turns:,} of "
            "them decided exactly)": self.faces_convex,
            "activation patterns are distinct": self.patterns_distinct,
            "affine pieces are numbered by their maps": self.pieces_consistent,
            "affine maps agree where faces meet": self.maps_continuous,
            f"coordinates are within their error bounds ({self.n_compared:,} of "
            f"{self.n_vertices:,} vertices compared)": self.coordinates_bounded,
            f"the faces' areas add up to {total}, within {exact.text(self.faces_area_error)}"
            if self.faces_area_error
            else f"the faces' exact areas add up to {total}": self.arrays_valid
            and off <= self.faces_area_error,
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
        decided = ", ".join(f"{count:,} in {how}" for how, count in self.decisions.items())
        lines = [f"engine {self.engine}; signs decided: {decided} numbers"]
        if self.seconds:
            times = (f"{stage} {seconds:.3g} s" for stage, seconds in self.seconds.items())
            lines.append(f"  {', '.join(times)}")
        lines.append(
            f"  errors at most {self.largest_vertex_error:.2g} in coordinates, "
            f"{self.largest_map_error:.2g} in maps"
        )
        lines += [f"  {'yes' if holds else 'NO '}  {what}" for what, holds in self.checks.items()]
        return "\n".join(lines)


def certify(part: Partition, *, full: bool = False) -> Certificate:
    """Check a partition whole.

    Everything combinatorial is checked in full. Geometry is proven by float64 arithmetic with
    error bounds where that suffices, else exactly. What takes one exact vertex each, some
    milliseconds for wide networks, is done for a sample spread evenly over the vertices, which
    come in the order of the layers that made them.

    Parameters
    ----------
    part : Partition
    full : bool
        Whether to compare all vertices with the exact ones. For the compiled engine this may
        take minutes to hours for 100,000 faces.

    Returns
    -------
    Certificate

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.certificate import certify
    >>> part = pr.partition([([[1, 2], [2, 1]], [0, 0]), ([[1, 1]], [0])])
    >>> certify(part, full=True).n_compared == part.n_vertices
    True
    """
    valid = _do_shapes_fit(part) and _are_indices_valid(part) and _are_numbers_valid(part)
    n_corners = len(part.face_vertices)
    compared = _sample(part, range(part.n_vertices), full=full)
    convex, n_exact_turns = _are_faces_convex(part) if valid else (False, 0)
    matched = valid and do_sides_match(part)
    area, area_error = _total_area(part, matched) if valid else (Fraction(0), Fraction(0))
    return Certificate(
        engine=part.engine,
        decisions=part.decisions,
        seconds=part.seconds,
        largest_vertex_error=_largest(part.vertex_error),
        largest_map_error=_largest(part.face_weight_error, part.face_bias_error),
        n_vertices=part.n_vertices,
        n_compared=len(compared) if valid else 0,
        n_corners=n_corners,
        n_exact_turns=n_exact_turns,
        euler_characteristic=part.n_vertices - part.n_edges + part.n_faces,
        euler_expected=part.domain.euler_characteristic,
        arrays_valid=valid,
        sides_matched=matched,
        border_closed=valid and _is_border_closed(part, full=full),
        labels_consistent=valid and _are_labels_lowest(part),
        faces_convex=convex,
        patterns_distinct=valid and _are_patterns_distinct(part),
        pieces_consistent=valid and _are_pieces_consistent(part),
        maps_continuous=valid and _are_maps_continuous(part),
        coordinates_bounded=valid and _are_coordinates_bounded(part, compared),
        faces_area=area,
        faces_area_error=area_error,
        domain_area=part.domain.exact_area,
    )


def quick(part: Partition) -> None:
    """Check a partition at little cost, as every engine does with its result.

    Lengths, indices and Euler's formula; that the sides of the faces are those of the edges, by
    64-bit hashes; that the border is closed; that coordinates and their error bounds are
    finite, that no face's area is certainly zero or negative, and that all areas add up to the
    domain's within the bounds on their errors. Takes some milliseconds per 100,000 faces.

    Raises
    ------
    CertificateError
        If a check fails. That is a defect of the engine, never of the model.
    """
    from polyregions import checks

    if not _do_shapes_fit(part) or not _are_indices_valid(part):
        raise _failure(part, "an index points nowhere, or arrays have different lengths")
    euler = part.n_vertices - part.n_edges + part.n_faces
    if euler != part.domain.euler_characteristic:
        expected = part.domain.euler_characteristic
        raise _failure(part, f"V - E + F is {euler} instead of {expected}")
    status = _self_check(part, np.empty(2))
    if status != checks.FINE:
        what = {
            checks.NOT_MATCHED: "the sides of the faces are not those of the edges",
            checks.BORDER_OPEN: "the border is not closed",
            checks.NOT_FINITE: "a coordinate or its error bound is not finite",
            checks.NOT_POSITIVE: "a face has no area",
            checks.NOT_COVERED: "the faces' areas do not add up to the domain's",
        }
        raise _failure(part, what[status])


def _failure(part: Partition, what: str) -> CertificateError:
    return CertificateError(
        f"the result of the engine {part.engine!r} contradicts itself: {what}. This is a defect of "
        "polyregions, and no fault of the model. Please report it, with the model's weights, the "
        f"domain's corners {part.domain.xy.tolist()} and the versions of polyregions, numba and "
        f"numpy ({part.n_vertices} vertices, {part.n_edges} edges, {part.n_faces} faces, "
        f"{part.n_units} units; decisions {dict(part.decisions)})",
        (what,),
    )


# -- arrays ----------------------------------------------------------------------------------


def _do_shapes_fit(part: Partition) -> bool:
    v, e, f = len(part.vertex_xy), len(part.edge_unit), len(part.face_offsets) - 1
    h, m = len(part.unit_layer), part.face_bias.shape[-1]
    return (
        f >= 1
        and part.vertex_xy.shape == part.vertex_error.shape == (v, 2)
        and len(part.vertex_exact) == v
        and part.edge_vertices.shape == part.edge_faces.shape == (e, 2)
        and part.face_pattern.shape == (f, h)
        and part.face_weight.shape == part.face_weight_error.shape == (f, m, 2)
        and part.face_bias.shape == part.face_bias_error.shape == (f, m)
        and part.face_affine_piece.shape == (f,)
    )


def _are_indices_valid(part: Partition) -> bool:
    from polyregions import checks

    return bool(
        checks.are_indices_valid(
            part.n_vertices, part.n_units, part.edge_vertices, part.edge_faces, part.edge_unit,
            part.face_offsets, part.face_vertices, part.face_affine_piece,
        )
    )  # fmt: skip


def _are_numbers_valid(part: Partition) -> bool:
    """Whether all numbers are finite and no error bound is negative."""
    numbers = (part.vertex_xy, part.face_weight, part.face_bias)
    errors = (part.vertex_error, part.face_weight_error, part.face_bias_error)
    return all(bool(np.isfinite(array).all()) for array in numbers + errors) and all(
        bool((array >= 0).all()) for array in errors
    )


def _sample(part: Partition, indices: Sequence[int], *, full: bool) -> list[int]:
    """All of some indices of vertices, or `SAMPLE` of them where exact ones are dear."""
    if full or part.engine == "rational" or len(indices) <= SAMPLE:
        return list(indices)
    return [indices[i * (len(indices) - 1) // (SAMPLE - 1)] for i in range(SAMPLE)]


def _largest(*arrays: FloatArray) -> float:
    return float(max(array.max(initial=0.0) for array in arrays))


# -- combinatorics ---------------------------------------------------------------------------


def do_sides_match(part: Partition) -> bool:
    """Whether faces and edges say the same of who is next to whom; indices must be valid."""
    n = part.n_vertices
    inner = part.is_inner
    start, end, face = cycles.sides(part.face_offsets, part.face_vertices)
    ends = part.edge_vertices.astype(np.int64)
    expected = np.concatenate([ends @ (n, 1), ends[inner] @ (1, n)])
    if len(expected) != len(start):
        return False
    expected_face = np.concatenate([part.edge_faces[:, 0], part.edge_faces[inner, 1]])
    sides = start.astype(np.int64) * n + end
    order, expected_order = np.argsort(sides), np.argsort(expected)
    sides, face = sides[order], face[order]
    return (
        bool((sides[1:] != sides[:-1]).all())
        and np.array_equal(sides, expected[expected_order])
        and np.array_equal(face, expected_face[expected_order])
    )


def _are_labels_lowest(part: Partition) -> bool:
    from polyregions import checks

    has_seams = not part.domain.is_convex
    return bool(
        checks.are_labels_lowest(part.edge_faces, part.edge_unit, part.face_pattern, has_seams)
    )


def _are_patterns_distinct(part: Partition) -> bool:
    from polyregions import checks

    hashes = np.empty(part.n_faces, dtype=np.uint64)
    with np.errstate(over="ignore"):
        checks.fill_hashes(part.face_pattern, hashes)
    order = np.argsort(hashes)
    equal = np.diff(hashes[order]) == 0
    suspects = order[np.append(equal, False) | np.append(False, equal)].tolist()
    if not part.domain.is_convex:
        piece: dict[bytes, int] = {}
        patterns = ((part.face_pattern[f].tobytes(), f) for f in suspects)
        pieces = part.face_affine_piece
        return all(piece.setdefault(row, pieces[f]) == pieces[f] for row, f in patterns)
    return len({part.face_pattern[f].tobytes() for f in suspects}) == len(suspects)


# -- maps ------------------------------------------------------------------------------------


def _are_pieces_consistent(part: Partition) -> bool:
    from polyregions import checks

    n = part.n_faces
    values = np.concatenate([part.face_weight.reshape(n, -1), part.face_bias], axis=1)
    errors = np.concatenate([part.face_weight_error.reshape(n, -1), part.face_bias_error], axis=1)
    # Maps that are rounded from one exact map are equal.
    radius = np.zeros_like(errors) if part.engine == "rational" else errors
    with np.errstate(all="ignore"):
        if not checks.do_pieces_overlap(part.face_affine_piece, values, radius):
            return False
    known = np.flatnonzero((errors == 0).all(axis=1))
    rows, numbers = (values[known] + 0.0).tolist(), part.face_affine_piece[known].tolist()
    first: dict[tuple[float, ...], int] = {}
    return all(
        first.setdefault(tuple(row), number) == number
        for row, number in zip(rows, numbers, strict=True)
    )


def _are_maps_continuous(part: Partition) -> bool:
    from polyregions import checks

    with np.errstate(all="ignore"):
        return bool(
            checks.is_continuous(
                part.edge_vertices, part.edge_faces, part.vertex_xy, part.vertex_error,
                part.face_weight, part.face_bias, part.face_weight_error, part.face_bias_error,
            )
        )  # fmt: skip


# -- geometry --------------------------------------------------------------------------------


def _self_check(part: Partition, sums: FloatArray) -> int:
    """The status of `checks.self_check`."""
    from polyregions import checks, filters

    sx, sy, _, _ = filters.scales(part.domain.xy)
    with np.errstate(all="ignore"):
        return int(
            checks.self_check(
                part.edge_vertices, part.edge_faces, part.face_offsets, part.face_vertices,
                part.vertex_xy, part.vertex_error, part.domain.xy, part.domain.ring_offsets,
                part.domain.is_convex, sx, sy, sums,
            )
        )  # fmt: skip


def _total_area(part: Partition, is_matched: bool) -> tuple[Fraction, Fraction]:
    """The sum of the areas of all faces, and a bound on its error.

    Exact, too, where the bound would say little: for networks whose coordinates have loose bounds,
    and on domains whose coordinates float64 hardly resolves.
    """
    from polyregions import filters

    sums = np.empty(2)
    if part.engine != "rational":
        _self_check(part, sums)
        if sums[1] <= RELATIVE_ERROR * abs(sums[0]) < np.inf:
            _, _, ex, ey = filters.scales(part.domain.xy)
            unit = Fraction(2) ** (-ex - ey - 1)
            return Fraction(float(sums[0])) * unit, Fraction(float(sums[1])) * unit
        if is_matched:
            # In the sum over all sides of all faces an inner edge counts once each way, so what
            # is left is the border.
            border = part.edge_vertices[~part.is_inner].tolist()
            ends = [(part.vertex_exact[v], part.vertex_exact[w]) for v, w in border]
            return exact.total(exact.swept(p, q) for p, q in ends), Fraction(0)
    return exact.total(exact.area(part.exact_polygon(f)) for f in range(part.n_faces)), Fraction(0)


def _are_faces_convex(part: Partition) -> tuple[bool, int]:
    """Whether every face turns left at every corner, and how many turns were decided exactly."""
    from polyregions import filters

    sx, sy, _, _ = filters.scales(part.domain.xy)
    corners = part.face_vertices
    turn = np.empty(len(corners), dtype=np.int8)
    with np.errstate(all="ignore"):
        filters.fill_turns(
            part.face_offsets, corners, part.vertex_xy, part.vertex_error, sx, sy, turn
        )
    if (turn < 0).any():
        return False, 0
    is_open = np.flatnonzero(turn == 0)
    faces = np.searchsorted(part.face_offsets, is_open, side="right") - 1
    again = measure.closer(part, np.unique(faces))
    if again is not None:
        closer_turn = np.empty(len(again.corners), dtype=np.int8)
        with np.errstate(all="ignore"):
            filters.fill_turns(
                again.offsets, again.corners, again.xy, again.error, sx, sy, closer_turn
            )
        turn[again.at] = closer_turn
        if (turn < 0).any():
            return False, 0
        is_open = np.flatnonzero(turn == 0)
        faces = np.searchsorted(part.face_offsets, is_open, side="right") - 1
    for n, (i, f) in enumerate(zip(is_open.tolist(), faces.tolist(), strict=True), start=1):
        begin, end = part.face_offsets[f : f + 2].tolist()
        at = (i - 1 if i > begin else end - 1, i, i + 1 if i + 1 < end else begin)
        p, q, r = (part.vertex_exact[int(corners[j])] for j in at)
        if exact.orientation(p, q, r) <= 0:
            return False, n
    return True, len(is_open)


def _are_coordinates_bounded(part: Partition, vertices: list[int]) -> bool:
    """Whether ``|vertex_xy - exact| <= vertex_error``."""
    rows, bounds = part.vertex_xy[vertices].tolist(), part.vertex_error[vertices].tolist()
    for v, row, bound in zip(vertices, rows, bounds, strict=True):
        x, y, w = part.vertex_exact[v]
        for value, error, n in zip(row, bound, (x, y), strict=True):
            if abs(Fraction(value) - Fraction(n, w)) > Fraction(error):
                return False
    return True


def _is_border_closed(part: Partition, *, full: bool) -> bool:
    """Whether the border edges are one cycle that runs along the domain's sides, once."""
    with np.errstate(all="ignore"):  # a domain may be as wide as two of the largest numbers
        return _does_border_fit(part, full=full)


def _does_border_fit(part: Partition, *, full: bool) -> bool:
    corners = part.domain.xy
    following = _following(part.domain)
    runs = _runs(part) if part.domain.is_convex else _runs_along_rings(part, following)
    if runs is None:
        return False
    unproven: list[tuple[int, int]] = []  # vertices to compare with the exact side, and the side
    for k, (run, start, end) in enumerate(zip(runs, corners, following, strict=True)):
        if not _do_advance(part, run, end - start):
            return False
        unproven += [(v, k) for v in _not_on_axis(part, run[1:-1], start, end)]
    ends = [[exact.point(x, y) for x, y in table.tolist()] for table in (corners, following)]
    lines = [exact.cross(start, end) for start, end in zip(*ends, strict=True)]
    if any(_is_surely_off(part, v, corners[k], following[k]) for v, k in unproven):
        return False
    chosen = _sample(part, range(len(unproven)), full=full)
    return all(
        exact.dot(lines[k], part.vertex_exact[v]) == 0 for v, k in (unproven[i] for i in chosen)
    )


def _following(domain: Domain) -> FloatArray:
    """The corner that comes after each one around its ring."""
    return np.concatenate([np.roll(ring, -1, axis=0) for ring in domain.outline])


def _runs(part: Partition) -> list[IntArray] | None:
    """The vertices along each side of a convex domain, or None if the border does not fit."""
    cycle = _border_cycle(part)
    if cycle is None:
        return None
    found = [_place_of_corner(part, cycle, corner) for corner in part.domain.xy]
    places = [place for place in found if place is not None]
    if len(places) < len(found):
        return None
    cycle = np.roll(cycle, -places[0])
    ends = [(place - places[0]) % len(cycle) for place in places] + [len(cycle)]
    if any(b <= a for a, b in pairwise(ends)):
        return None
    cycle = np.append(cycle, cycle[0])
    return [cycle[a : b + 1] for a, b in pairwise(ends)]


def _runs_along_rings(part: Partition, following: FloatArray) -> list[IntArray] | None:
    """The same for a domain that is not convex.

    Several edges leave a corner in which rings touch. That which leads along a side is the one
    whose end is exactly on its line, in front.
    """
    edges = part.edge_vertices[~part.is_inner].tolist()
    after: dict[int, list[int]] = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    border = np.array(sorted(after))
    place: dict[tuple[float, float], int | None] = {}
    for corner in part.domain.xy:
        x, y = corner.tolist()
        if (x, y) not in place:
            at = _place_of_corner(part, border, corner)
            place[x, y] = None if at is None else int(border[at])
    runs = []
    for start, end in zip(part.domain.xy.tolist(), following.tolist(), strict=True):
        here, last = place[tuple(start)], place[tuple(end)]
        if here is None or last is None:
            return None
        p, q = exact.point(*start), exact.point(*end)
        line = exact.cross(p, q)
        run = [here]
        while run[-1] != last:
            ahead = after.get(run[-1], [])
            if len(ahead) > 1:
                ahead = [v for v in ahead if _is_ahead(line, p, q, part.vertex_exact[v])]
            if len(ahead) != 1:
                return None
            (v,) = ahead
            after[run[-1]].remove(v)
            run.append(v)
        runs.append(np.array(run))
    return None if any(after.values()) else runs


def _is_ahead(line: Triple, p: Triple, q: Triple, r: Triple) -> bool:
    """Whether r is on the line from p to q, on q's side of p."""
    if exact.dot(line, r) != 0:
        return False
    forward = (q[i] * p[2] - p[i] * q[2] for i in (0, 1))
    there = (r[i] * p[2] - p[i] * r[2] for i in (0, 1))
    return sum(a * b for a, b in zip(forward, there, strict=True)) > 0


def _border_cycle(part: Partition) -> IntArray | None:
    """The vertices along the border edges, or None if they do not make one cycle."""
    edges = part.edge_vertices[~part.is_inner].tolist()
    after = dict(edges)
    if not edges or len(after) != len(edges):
        return None
    first, cycle = edges[0][0], [edges[0][0]]
    while (v := after.get(cycle[-1])) is not None and v != first and len(cycle) < len(edges):
        cycle.append(v)
    return np.array(cycle) if v == first and len(cycle) == len(edges) else None


def _place_of_corner(part: Partition, cycle: IntArray, corner: FloatArray) -> int | None:
    """Where in the cycle a corner of the domain is, or None if it is not there exactly once."""
    off, error = np.abs(part.vertex_xy[cycle] - corner), part.vertex_error[cycle]
    near = np.flatnonzero((off <= error + 2.0**-50 * np.abs(corner)).all(axis=1)).tolist()
    wanted = exact.point(*corner.tolist())
    found = [i for i in near if part.vertex_exact[int(cycle[i])] == wanted]
    return found[0] if len(found) == 1 else None


def _do_advance(part: Partition, run: IntArray, along: FloatArray) -> bool:
    """Whether vertices go steadily the way that `along` points, by its larger coordinate."""
    axis = int(np.argmax(np.abs(along)))
    sign = 1 if along[axis] > 0 else -1
    x, error = part.vertex_xy[run, axis] * sign, part.vertex_error[run, axis]
    gap = np.diff(x)
    slack = 4 * U * (np.abs(x[1:]) + np.abs(x[:-1]) + error[1:] + error[:-1])
    is_open = gap <= error[1:] + error[:-1] + slack
    for i in np.flatnonzero(is_open).tolist():
        before, after = (part.exact_vertex(int(v))[axis] for v in run[i : i + 2])
        if sign * (after - before) <= 0:
            return False
    return True


def _not_on_axis(part: Partition, run: IntArray, start: FloatArray, end: FloatArray) -> list[int]:
    """Those vertices that are not certain to be on a side, for it is slanted or they rounded."""
    on_side = np.zeros(len(run), dtype=bool)
    for axis in range(2):
        if start[axis] == end[axis]:
            on_side = (part.vertex_xy[run, axis] == start[axis]) & (
                part.vertex_error[run, axis] == 0
            )
    return run[~on_side].tolist()


def _is_surely_off(part: Partition, v: int, start: FloatArray, end: FloatArray) -> bool:
    """Whether float64 proves that a vertex is not on the line through two points."""
    from polyregions import filters

    sx, sy, _, _ = filters.scales(part.domain.xy)
    (ax, ay), (bx, by), (cx, cy), (ecx, ecy) = (
        (float(x) * sx, float(y) * sy)
        for x, y in (start, end, part.vertex_xy[v], part.vertex_error[v])
    )
    tiny = TINY
    value, bound = filters.twice_triangle(
        ax, ay, bx, by, cx, cy, tiny, tiny, tiny, tiny, ecx + tiny, ecy + tiny
    )
    return bool(abs(value) > bound)
