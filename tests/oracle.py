"""A second, different way to the same complex, to hold the package against.

The package cuts polygons. Here nothing is cut: the network is evaluated exactly at a *germ* (a
point and a direction in which to leave it), which gives one activation pattern and every
pre-activation as an affine function; the region of that pattern is the intersection of half-planes,
found line by line; and the walk goes on across each side of it, to whatever pattern the germ on the
other side has. Lines of one hidden layer are counted by incidences alone.

Plain Python integers and fractions throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import gcd, lcm

import numpy as np

from polyregions.domain import Domain, as_domain
from polyregions.network import (
    Activation,
    Affine,
    AffineStep,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Sum,
)

Point = tuple[Fraction, Fraction]
Line = tuple[int, int, int]  # the half-plane a x + b y + c >= 0, without common factor
Form = tuple[Fraction, Fraction, Fraction]  # the function a x + b y + c


# --- the network at a germ ------------------------------------------------------------------------


def _integers(array: np.ndarray) -> tuple[np.ndarray, int]:
    """Integers (object dtype) and their common denominator."""
    ratios = [float(v).as_integer_ratio() for v in array.ravel()]
    denominator = lcm(*(d for _, d in ratios)) if ratios else 1
    whole = np.array([n * (denominator // d) for n, d in ratios] or [0], dtype=object)
    return whole[: array.size].reshape(array.shape), denominator


def matrix_of(step: AffineStep) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of an affine step, each entry from the definition of its kind."""
    if isinstance(step, Affine):
        return step.weight, step.bias
    if isinstance(step, Scale):
        return np.diag(step.scale), step.shift
    if isinstance(step, Gather):
        weight = np.zeros((len(step.index), step.width))
        for i, j in enumerate(step.index.tolist()):
            if j >= 0:
                weight[i, j] = 1.0
        return weight, step.fill
    if isinstance(step, Sum):
        blocks = [c * np.eye(step.width) for c in step.coefficients]
        return np.concatenate(blocks, axis=1), np.zeros(step.width)
    assert isinstance(step, Convolution)
    n_out, n_in = len(step.weight), step.weight.shape[1]
    weight = np.zeros((n_out, *step.out_shape, n_in * step.groups, *step.shape))
    for out in range(n_out):
        first = out // (n_out // step.groups) * n_in
        for position in np.ndindex(*step.out_shape):
            for tap in np.ndindex(*step.weight.shape[2:]):
                at = tuple(
                    i * stride + k * dilation - before
                    for i, k, stride, dilation, (before, _) in zip(
                        position, tap, step.stride, step.dilation, step.padding, strict=True
                    )
                )
                if all(0 <= i < n for i, n in zip(at, step.shape, strict=True)):
                    for c in range(n_in):
                        weight[(out, *position, first + c, *at)] += step.weight[(out, c, *tap)]
    n = int(np.prod(step.out_shape))
    return weight.reshape(n_out * n, -1), np.repeat(step.bias, n)


@cache
def _program(network: Network) -> tuple:
    """The steps of a network with integer coefficients."""
    program: list[tuple] = []
    for step in network.steps:
        if isinstance(step, Activation):
            table, denominator = _integers(np.concatenate([step.slopes, step.intercepts], axis=1))
            half = step.slopes.shape[1]
            thresholds = [[Fraction(t) for t in row if t != np.inf] for row in step.breakpoints]
            program.append(("bend", thresholds, table[:, :half], table[:, half:], denominator))
        elif isinstance(step, Maximum):
            program.append(("largest", [[m for m in row if m >= 0] for row in step.members]))
        else:
            weight, bias = matrix_of(step)
            table, denominator = _integers(np.concatenate([weight, bias[:, None]], axis=1))
            program.append(("affine", table[:, :-1], table[:, -1], denominator))
    return tuple(program)


@dataclass(frozen=True)
class Trace:
    """What the network is at a germ."""

    pattern: bytes  # piece of every unit
    margins: tuple[Form, ...]  # functions that are not negative on the closed region
    integers: tuple[tuple[np.ndarray, int], ...]  # forms of all values, and what divides them

    def value(self, number: int) -> tuple[Form, ...]:
        """The forms of a value of the network; 0 is the input."""
        forms, scale = self.integers[number]
        return tuple(tuple(Fraction(v, scale) for v in form) for form in forms)

    @property
    def outputs(self) -> tuple[Form, ...]:
        return self.value(-1)

    @property
    def walls(self) -> list[Line]:
        """Half-planes whose intersection is the closed region of the pattern."""
        return sorted({half_plane(a, b, c) for a, b, c in self.margins if a or b})


def trace(network: Network, point: Point, direction: tuple = (1, 0)) -> Trace:
    """Evaluate at ``point + e * direction + e**2 * left_of_direction`` for infinitely small e > 0.

    An affine function vanishes there only if it is zero everywhere, so the germ lies inside one
    region whatever the point.
    """
    x, y = point
    w = lcm(x.denominator, y.denominator)
    place = (int(x * w), int(y * w), w)
    dx, dy = direction

    def is_positive(a: int, b: int, c: int) -> bool:
        """Whether a x + b y + c is positive at the germ: the first sign that is not 0."""
        at_point = a * place[0] + b * place[1] + c * place[2]
        return (at_point or a * dx + b * dy or b * dx - a * dy) > 0

    # Values are forms / scale.
    values = [(np.array([[1, 0, 0], [0, 1, 0]], dtype=object), 1)]
    pattern = bytearray()
    margins: list[Form] = []

    def margin(form: np.ndarray, scale: int) -> None:
        margins.append(tuple(Fraction(v, scale) for v in form))

    for (kind, *tables), sources in zip(_program(network), network.sources, strict=True):
        scale = lcm(*(values[v][1] for v in sources))
        forms = np.concatenate([values[v][0] * (scale // values[v][1]) for v in sources])
        if kind == "affine":
            weight, bias, denominator = tables
            forms = weight.dot(forms)
            forms[:, 2] += bias * scale
            scale *= denominator
        elif kind == "bend":
            thresholds, slopes, intercepts, denominator = tables
            pieces = []
            for form, ts in zip(forms, thresholds, strict=True):
                above = [form * t.denominator - [0, 0, t.numerator * scale] for t in ts]
                piece = sum(is_positive(*f) for f in above)
                pieces.append(piece)
                if piece > 0:
                    margin(above[piece - 1], scale)
                if piece < len(ts):
                    margin(-above[piece], scale)
            rows = np.arange(len(pieces))
            forms = forms * slopes[rows, pieces][:, None]
            forms[:, 2] += intercepts[rows, pieces] * scale
            scale *= denominator
            pattern += bytes(pieces)
        else:
            chosen = []
            for members in tables[0]:
                best = 0
                for k in range(1, len(members)):
                    if is_positive(*(forms[members[k]] - forms[members[best]])):
                        best = k
                pattern.append(best)
                chosen.append(members[best])
                for other in members:
                    margin(forms[chosen[-1]] - forms[other], scale)
            forms = forms[chosen]
        values.append((forms, scale))
    return Trace(bytes(pattern), tuple(margins), tuple(values))


def value(form: Form, point: Point) -> Fraction:
    return form[0] * point[0] + form[1] * point[1] + form[2]


def evaluate(network: Network, point: Point) -> list[Fraction]:
    """The exact values of the network at a point."""
    return [value(form, point) for form in trace(network, point).outputs]


# --- half-planes ----------------------------------------------------------------------------------


def half_plane(a: Fraction, b: Fraction, c: Fraction) -> Line:
    """The half-plane ``a x + b y + c >= 0`` with its coefficients made coprime integers."""
    a, b, c = Fraction(a), Fraction(b), Fraction(c)
    common = lcm(a.denominator, b.denominator, c.denominator)
    whole = [int(v * common) for v in (a, b, c)]
    divisor = gcd(*whole)
    return whole[0] // divisor, whole[1] // divisor, whole[2] // divisor


def domain_walls(domain: Domain) -> list[Line]:
    corners = [(Fraction(x), Fraction(y)) for x, y in domain.xy.tolist()]
    return [
        half_plane(p[1] - q[1], q[0] - p[0], p[0] * q[1] - q[0] * p[1])
        for p, q in zip(corners, corners[1:] + corners[:1], strict=True)
    ]


def clip(p: Point, q: Point, walls: list[Line]) -> tuple[Fraction, Fraction]:
    """The part of the segment from p to q (0 to 1) inside all half-planes; empty if lo > hi."""
    lo, hi = Fraction(0), Fraction(1)
    for line in walls:
        at_p, at_q = value(line, p), value(line, q)
        if at_p < 0 and at_q < 0:
            return Fraction(1), Fraction(0)
        if at_p < 0:
            lo = max(lo, at_p / (at_p - at_q))
        elif at_q < 0:
            hi = min(hi, at_p / (at_p - at_q))
    return lo, hi


def sides(walls: list[Line]) -> list[tuple[Line, Point, Point]]:
    """The sides of a bounded intersection of half-planes, each with the inside on its left."""
    found = []
    for a, b, c in walls:
        square = a * a + b * b
        lo: Fraction | None = None
        hi: Fraction | None = None
        for a2, b2, c2 in walls:
            # Along the line, at foot + t (b, -a), the other form times `square` is at + t * rise.
            at = c2 * square - c * (a2 * a + b2 * b)
            rise = (a2 * b - b2 * a) * square
            if rise > 0:
                t = Fraction(-at, rise)
                lo = t if lo is None or t > lo else lo
            elif rise < 0:
                t = Fraction(-at, rise)
                hi = t if hi is None or t < hi else hi
            elif at < 0:
                lo, hi = Fraction(1), Fraction(0)
                break
        assert lo is not None, "the half-planes have no bounded intersection"
        assert hi is not None, "the half-planes have no bounded intersection"
        if lo < hi:
            foot = Fraction(-c * a, square), Fraction(-c * b, square)
            p, q = ((foot[0] + t * b, foot[1] - t * a) for t in (lo, hi))
            found.append(((a, b, c), p, q))
    return found


def area_of_sides(segments: list[tuple[Line, Point, Point]]) -> Fraction:
    """Area by Green's formula; the order of the sides does not matter."""
    return sum((p[0] * q[1] - q[0] * p[1] for _, p, q in segments), Fraction(0)) / 2


# --- the walk over all regions --------------------------------------------------------------------


@dataclass(frozen=True)
class Regions:
    """All regions of a network on a domain."""

    corners: dict[bytes, frozenset[Point]]  # pattern -> corners of the region
    maps: dict[bytes, tuple[Form, ...]]
    edges: set[tuple[frozenset[bytes], frozenset[Point]]]  # patterns on both sides, end points

    @property
    def affine_pieces(self) -> int:
        return len(set(self.maps.values()))

    def linear_regions(self, *, through_vertices: bool = False) -> int:
        """Components of regions with one map that touch in an edge (or in a vertex)."""
        parent = {pattern: pattern for pattern in self.maps}

        def root(pattern: bytes) -> bytes:
            while parent[pattern] != pattern:
                pattern = parent[pattern]
            return pattern

        touching = [tuple(pair) for pair, _ in self.edges]
        if through_vertices:
            around: dict[Point, list[bytes]] = {}
            for pattern, points in self.corners.items():
                for point in points:
                    around.setdefault(point, []).append(pattern)
            touching += [pair for group in around.values() for pair in combinations(group, 2)]
        for a, b in touching:
            if self.maps[a] == self.maps[b]:
                parent[root(a)] = root(b)
        return sum(parent[pattern] == pattern for pattern in parent)


def regions(network: Network, domain: object) -> Regions:
    """Every region of a network, by walking from one to the next across its sides."""
    polygon = as_domain(domain)
    border = domain_walls(polygon)
    shapes: dict[bytes, list[tuple[Line, Point, Point]]] = {}
    walls: dict[bytes, list[Line]] = {}
    maps: dict[bytes, tuple[Form, ...]] = {}
    seen_from: dict[bytes, set] = {}
    waiting: list[bytes] = []

    def arrive(point: Point, direction: tuple) -> bytes:
        here = trace(network, point, direction)
        if here.pattern not in shapes:
            walls[here.pattern] = sorted({*here.walls, *border})
            shapes[here.pattern] = sides(walls[here.pattern])
            maps[here.pattern] = here.outputs
            waiting.append(here.pattern)
        return here.pattern

    n = len(polygon.xy)
    x, y = (sum(map(Fraction, column)) / n for column in polygon.xy.T.tolist())
    arrive((x, y), (1, 0))
    while waiting:
        pattern = waiting.pop()
        edges = seen_from[pattern] = set()
        for line, start, end in shapes[pattern]:
            if line in border:
                continue
            open_parts = [(start, end)]
            while open_parts:
                p, q = open_parts.pop()
                middle = ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2)
                other = arrive(middle, (-line[0], -line[1]))
                lo, hi = clip(p, q, walls[other])
                assert lo < Fraction(1, 2) < hi, "a region must hold its own germ"
                a, b = ((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])) for t in (lo, hi))
                edges.add((frozenset((pattern, other)), frozenset((a, b))))
                open_parts += [(p, a)] * (lo > 0) + [(b, q)] * (hi < 1)
    edges = set().union(*seen_from.values())
    # The oracle checks itself: both sides of an edge found the same edge, and nothing is missing.
    for pair, ends in edges:
        assert len(pair) == 2
        assert all((pair, ends) in seen_from[pattern] for pattern in pair)
    covered = sum((area_of_sides(shape) for shape in shapes.values()), Fraction(0))
    assert covered == polygon.exact_area, "the walk did not reach every region"
    corners = {k: frozenset(p for _, *ends in shape for p in ends) for k, shape in shapes.items()}
    return Regions(corners, maps, edges)


# --- one hidden layer -----------------------------------------------------------------------------


@dataclass(frozen=True)
class LineCount:
    """Numbers of cells of lines in a convex polygon."""

    vertices: int
    edges: int
    faces: int


def count_lines(network: Network, domain: object) -> LineCount:
    """Count the cells of one hidden ReLU layer's lines from their incidences.

    A line that crosses the polygon adds one face, and another for every earlier line it meets
    in a new inner point: ``F = 1 + lines + sum of (lines through p - 1)`` over the inner points p.
    """
    polygon = as_domain(domain)
    border = domain_walls(polygon)
    corners = [(Fraction(x), Fraction(y)) for x, y in polygon.xy.tolist()]
    first = network.steps[0]
    assert isinstance(first, Affine)
    assert len(network.activations) == 1
    lines = set()
    for (a, b), c in zip(first.weight.tolist(), first.bias.tolist(), strict=True):
        if a or b:
            line = half_plane(Fraction(a), Fraction(b), Fraction(c))
            lines.add(max(line, (-line[0], -line[1], -line[2])))
    crossing = []
    for line in lines:
        signs = [value(line, corner) for corner in corners]
        if min(signs) < 0 < max(signs):
            crossing.append(line)
    inner: dict[Point, set[Line]] = {}
    on_border: set[Point] = set(corners)
    for first_line, other in combinations(crossing, 2):
        point = meeting_point(first_line, other)
        if point is not None and all(value(wall, point) > 0 for wall in border):
            inner.setdefault(point, set()).update((first_line, other))
    for line in crossing:
        for wall in border:
            point = meeting_point(line, wall)
            if point is not None and all(value(w, point) >= 0 for w in border):
                on_border.add(point)
    faces = 1 + len(crossing) + sum(len(through) - 1 for through in inner.values())
    vertices = len(on_border) + len(inner)
    # Every line is cut into (inner points on it + 1) edges, the border at all its points.
    edges = len(crossing) + sum(map(len, inner.values())) + len(on_border)
    assert vertices - edges + faces == 1
    return LineCount(vertices, edges, faces)


def meeting_point(line: Line, other: Line) -> Point | None:
    (a, b, c), (d, e, f) = line, other
    determinant = a * e - b * d
    if determinant == 0:
        return None
    return Fraction(b * f - c * e, determinant), Fraction(c * d - a * f, determinant)


# --- rounding -------------------------------------------------------------------------------------


def is_nearest(rounded: float, exact: Fraction) -> bool:
    """Whether `rounded` is the float64 nearest to `exact`, ties to even."""
    if not np.isfinite(rounded):
        return False
    error = abs(Fraction(rounded) - exact)
    for neighbour in (np.nextafter(rounded, -np.inf), np.nextafter(rounded, np.inf)):
        if np.isinf(neighbour):
            continue
        other = abs(Fraction(float(neighbour)) - exact)
        if other < error:
            return False
        if other == error != 0 and np.float64(rounded).view(np.int64) & 1:
            return False
    return True


# --- comparing ------------------------------------------------------------------------------------


def inner_point(part, f: int) -> Point:
    """A point inside face f: the mean of its exact corners."""
    corners = [part.exact_vertex(int(v)) for v in part.face(f)]
    n = len(corners)
    return sum(p[0] for p in corners) / n, sum(p[1] for p in corners) / n


def assert_maps(part, network: Network, faces=None) -> dict[int, tuple[Form, ...]]:
    """Hold pattern, map and corners of faces against a forward evaluation inside each.

    The corners must lie in the closed region of the pattern. As the areas of all faces add up to
    that of the domain, which the invariants say, the faces then are the regions, all of them.
    Returns the exact maps.
    """
    exact = {}
    for f in range(part.n_faces) if faces is None else faces:
        f = int(f)
        here = trace(network, inner_point(part, f))
        assert part.face_pattern[f].tobytes() == here.pattern, f"pattern of face {f}"
        walls = here.walls
        for v in part.face(f):
            corner = part.exact_vertex(int(v))
            assert all(value(wall, corner) >= 0 for wall in walls), f"corner {v} of face {f}"
        assert_map(part, f, here.outputs)
        exact[f] = here.outputs
    return exact


def assert_map(part, f: int, forms: tuple[Form, ...]) -> None:
    """Hold the map on face f against the exact one."""
    values = np.column_stack([part.face_weight[f], part.face_bias[f]])
    errors = np.column_stack([part.face_weight_error[f], part.face_bias_error[f]])
    for row, bounds, form in zip(values.tolist(), errors.tolist(), forms, strict=True):
        for value, bound, exact in zip(row, bounds, form, strict=True):
            assert_close(part, value, bound, exact, f"map of face {f}")


def assert_close(part, rounded: float, bound: float, exact: Fraction, what: str = "") -> None:
    """A value must be within its stated bound, and the nearest float64 if the engine says so."""
    assert np.isfinite(bound)
    assert abs(Fraction(rounded) - exact) <= Fraction(bound), f"{what}: {rounded} is not {exact}"
    if part.engine == "rational":
        assert is_nearest(rounded, exact), f"{what}: {rounded} is not {exact}"


def assert_same(part, network: Network, domain: object) -> Regions:
    """Hold the whole complex against the oracle's; returns the oracle's."""
    expected = regions(network, domain)
    patterns = [row.tobytes() for row in part.face_pattern]
    points = [part.exact_vertex(i) for i in range(part.n_vertices)]
    corners = {
        pattern: frozenset(points[v] for v in part.face(f)) for f, pattern in enumerate(patterns)
    }
    assert len(patterns) == len(expected.corners)
    assert corners == expected.corners
    edges = {
        (frozenset((patterns[left], patterns[right])), frozenset((points[a], points[b])))
        for (a, b), (left, right) in zip(part.edge_vertices, part.edge_faces, strict=True)
        if right >= 0
    }
    assert edges == expected.edges
    pieces: dict[int, tuple[Form, ...]] = {}
    for f, pattern in enumerate(patterns):
        form = expected.maps[pattern]
        assert_map(part, f, form)
        assert pieces.setdefault(int(part.face_affine_piece[f]), form) == form
    assert len(pieces) == expected.affine_pieces
    assert part.count() == (
        len(expected.corners),
        expected.linear_regions(),
        expected.affine_pieces,
    )
    assert part.count(through_vertices=True) == (
        len(expected.corners),
        expected.linear_regions(through_vertices=True),
        expected.affine_pieces,
    )
    for e in np.flatnonzero(part.edge_faces[:, 1] >= 0):
        left, right = (expected.maps[patterns[f]] for f in part.edge_faces[e])
        assert part.is_crease[e] == (left != right)
        for v in part.edge_vertices[e]:  # the function is continuous, exactly
            for a, b in zip(left, right, strict=True):
                assert value(a, points[v]) == value(b, points[v])
    return expected
