"""Compare the two engines whole on random small networks, for as long as told.

    python scripts/soak.py --minutes 10
    python scripts/soak.py --count 300 --seed 7
    python scripts/soak.py --only 123456          # one network again

Every network follows from its number: a chain of layers if that is not negative, else one with
branches, convolutions or maxima. The two kinds take turns; 2 k of them from number s are s to
s + k - 1 and -1 - s to -s - k. A mismatch prints the number, and the script goes on; it exits with
1 if there was any.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import traceback
import warnings
from collections import Counter
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import numba
import numpy as np
import soak_graphs
from shapely import Polygon

from polyregions.certificate import do_sides_match
from polyregions.domain import Domain, as_domain
from polyregions.engine import subdivide as subdivide_exact
from polyregions.engine.subdivision import count
from polyregions.engines import faces_by_layer
from polyregions.errors import LimitError
from polyregions.network import (
    Activation,
    Affine,
    Network,
    Scale,
    Step,
    absolute,
    clamp,
    leaky_relu,
    prelu,
    relu,
)
from polyregions.partition import Partition
from polyregions.reference import subdivide as subdivide_rational

KINDS = (
    "normal", "single", "trained", "integer", "ternary", "four_bit", "tied", "dead", "zero_bias",
    "scaled", "wild", "concurrent", "far", "folding", "awkward", "batch_norm", "huge", "deep",
)  # fmt: skip


def random_case(seed: int, scale: int = 1) -> tuple[str, Network, Domain]:
    """The network and domain with number `seed`, and what kind they are."""
    if seed < 0:
        return soak_graphs.random_graph(-1 - seed)
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    depth = int(rng.integers(1, 5))
    most = scale * {1: 14, 2: 9, 3: 7, 4: 5}[depth]
    widths = [2, *rng.integers(1, most + 1, depth).tolist(), int(rng.integers(1, 4))]
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        layers.append(_weights(rng, kind, n_in, n_out, first=i == 0))
    if kind == "trained":
        layers = _trained(rng, layers)
    if kind == "tied":
        layers = [_tie(rng, w, b) for w, b in layers]
    if kind == "folding":
        layers = _folding(rng)
    if kind == "deep":
        layers = _deep(rng)
    domain = as_domain(_domain(rng, kind))
    extra = np.random.default_rng([seed, 1])
    if extra.random() < 0.08:
        # Down to where products, or the numbers themselves, underflow.
        kind += ", tiny"
        layers = [
            (np.ldexp(w, -i), np.ldexp(b, -j))
            for (w, b), i, j in zip(
                layers, *extra.integers(0, 1070, (2, len(layers))).tolist(), strict=True
            )
        ]
    steps: list[Step] = []
    for i, (w, b) in enumerate(layers):
        steps.append(Affine(w, b))
        if kind == "batch_norm":
            n = len(b)
            steps.append(Scale(rng.normal(size=n) + rng.integers(0, 2, n), rng.normal(size=n)))
            if rng.random() < 0.2:
                steps.append(Affine(rng.normal(size=(n, n)), np.zeros(n)))
        if i + 1 < len(layers) or rng.random() < 0.1:
            steps.append(_activation(rng, len(b), kind))
    return kind, Network(tuple(steps), 2), domain


def _weights(
    rng: np.random.Generator, kind: str, n_in: int, n_out: int, *, first: bool
) -> tuple[np.ndarray, np.ndarray]:
    shape = (n_out, n_in)
    w, b = rng.normal(size=shape) * np.sqrt(2 / n_in), rng.normal(size=n_out) * 0.5
    if kind in ("single", "trained"):
        w, b = (v.astype(np.float32).astype(float) for v in (w, b))
    elif kind == "integer":
        w, b = rng.integers(-3, 4, shape).astype(float), rng.integers(-3, 4, n_out).astype(float)
    elif kind == "ternary":
        w, b = rng.integers(-1, 2, shape).astype(float), rng.integers(-1, 2, n_out).astype(float)
    elif kind == "four_bit":
        step = float(np.float32(rng.uniform(0.02, 0.2)))
        w, b = rng.integers(-8, 8, shape) * step, rng.integers(-8, 8, n_out) * step
    elif kind == "dead":
        w = w * (rng.random(shape) < 0.5)
        w[rng.random(n_out) < 0.3] = 0.0
        b = b * (rng.random(n_out) < 0.6)
    elif kind == "zero_bias":
        b = np.zeros(n_out)
    elif kind == "scaled":
        w, b = (
            w * 10.0 ** rng.integers(-9, 10, (n_out, 1)),
            b * 10.0 ** float(rng.integers(-9, 10)),
        )
    elif kind == "wild":
        w, b = (v * 2.0 ** float(rng.integers(-60, 60)) for v in (w, b))
    elif kind == "huge":
        w, b = (v * 2.0 ** float(rng.integers(-420, 420)) for v in (w, b))
    elif kind == "concurrent" and first:
        at = rng.uniform(-0.5, 0.5, 2)
        if rng.random() < 0.4:
            at = np.round(at * 8) / 8
            w = rng.integers(-9, 10, shape).astype(float)
        b = -(w @ at)
        if rng.random() < 0.3:
            b = b + rng.integers(-2, 3, n_out) * 2.0**-52
    elif kind == "awkward":
        palette = [0.0, 1.0, -1.0, 2.0, 0.5, 0.1, -1 / 3, 2 / 3, 1 + 2.0**-52, 1e-9, -1e9]
        w, b = rng.choice(palette, shape), rng.choice(palette, n_out)
    elif kind == "far" and first:
        w = w * rng.choice([1.0, 1e-3], shape)
        b = -(w @ np.array([1000.25, -3000.5])) + rng.normal(size=n_out) * 0.5
    return w, b


def _trained(rng: np.random.Generator, layers: list) -> list:
    """A few steps of gradient descent on a bump, in float32."""
    x = rng.uniform(-1, 1, (64, 2))
    y = np.exp(-10 * ((x**2).sum(axis=1, keepdims=True) - 0.3) ** 2)
    layers = [(w.copy(), b.copy()) for w, b in layers]
    for _ in range(int(rng.integers(5, 60))):
        values = [x]
        for i, (w, b) in enumerate(layers):
            z = values[-1] @ w.T + b
            values.append(np.maximum(z, 0) if i + 1 < len(layers) else z)
        grad = (values[-1] - y) / len(x)
        for i in reversed(range(len(layers))):
            w, b = layers[i]
            if i + 1 < len(layers):
                grad = grad * (values[i + 1] > 0)
            back = grad @ w
            layers[i] = (w - 0.1 * grad.T @ values[i], b - 0.1 * grad.sum(axis=0))
            grad = back
    return [tuple(v.astype(np.float32).astype(float) for v in pair) for pair in layers]


def _tie(rng: np.random.Generator, w: np.ndarray, b: np.ndarray) -> tuple:
    """Some units the same as others, opposite, doubled or tripled."""
    w, b = w.copy(), b.copy()
    for i in range(1, len(b)):
        if rng.random() < 0.5:
            j = int(rng.integers(0, i))
            factor = float(rng.choice([1.0, -1.0, 2.0, -0.5, 3.0]))
            w[i], b[i] = factor * w[j], factor * b[j]
    return w, b


def _deep(rng: np.random.Generator) -> list:
    """Many layers with steep slopes, often with lines that are nearly the same as others."""
    x = rng.uniform(-1, 1, (64, 2))
    widths = [2, *[int(rng.integers(2, 5))] * int(rng.integers(4, 13)), 1]
    gain, is_near = float(rng.choice([1, 3, 10, 30])), rng.random() < 0.5
    layers = []
    for n_in, n_out in pairwise(widths):
        w = rng.normal(size=(n_out, n_in)) * np.sqrt(2 / n_in) * gain
        if is_near and n_out > 1:
            w[1] = w[0] * (1 + 2.0 ** -rng.integers(20, 53) * rng.normal(size=n_in))
        b = -np.median(x @ w.T, axis=0)
        if is_near and n_out > 1:
            b[1] = b[0] * (1 + 2.0 ** -rng.integers(20, 53))
        layers.append((w, b))
        x = np.maximum(x @ w.T + b, 0)
    return layers


def _folding(rng: np.random.Generator) -> list:
    first = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    middle = np.array([[2.0, 2, 0, 0], [-2, -2, 0, 0], [0, 0, 2, 2], [0, 0, -2, -2]])
    lines = rng.integers(-5, 6, (3, 3)).astype(float)
    last = np.stack([lines[:, 0], lines[:, 0], lines[:, 1], lines[:, 1]], axis=1)
    return [
        (first, np.zeros(4)),
        *[(middle, np.array([-1.0, 1, -1, 1]))] * int(rng.integers(0, 3)),
        (last, lines[:, 2]),
        (rng.integers(-3, 4, (1, 3)).astype(float), np.zeros(1)),
    ]


def _activation(rng: np.random.Generator, width: int, kind: str) -> Activation:
    choice = rng.random()
    if choice < 0.6 or kind == "folding":
        return relu(width)
    if choice < 0.68:
        return leaky_relu(
            width, float(rng.choice([0.01, 0.5, -0.25])) * (2.0**-600 if "tiny" in kind else 1.0)
        )
    if choice < 0.76:
        return absolute(width)
    if choice < 0.84:
        return clamp(width, *sorted(rng.choice([-1.0, -0.5, 0.0, 0.25, 1.0, 6.0], 2).tolist()))
    if choice < 0.92:
        return prelu(rng.choice([0.0, 0.25, 1.0, -1.0, -0.5], width))
    return clamp(width, low=float(rng.choice([-0.5, 0.0, 0.3])))


def _domain(rng: np.random.Generator, kind: str) -> Any:
    if kind == "far":
        return (1000.0, -3001.0, 1001.0, -3000.0)
    choices = [
        (-1.0, 1.0), (-1.0, 1.0), (-10.0, 10.0), (0.0, 1.0), (-0.3, -0.7, 1.1, 0.9), (-1e-3, 1e-3),
        Polygon([(-1, -1), (2, -1), (0, 3)]),
        Polygon([(-2, 0), (-1, -1.7), (1, -2), (2, 0.1), (0.3, 1.9)]),
    ]  # fmt: skip
    return choices[int(rng.integers(len(choices)))]


# -- comparison ------------------------------------------------------------------------------


def differences(part: Partition, reference: Partition) -> list[str]:
    """What two complexes do not have in common; vertices, edges and faces may be in any order."""
    found = []
    mine, theirs = list(part.vertex_exact), list(reference.vertex_exact)
    for name, a, b in (
        ("vertices", sorted(mine), sorted(theirs)),
        ("faces", _faces(part, mine), _faces(reference, theirs)),
        ("edges", _edges(part, mine), _edges(reference, theirs)),
        ("affine pieces", _pieces(part), _pieces(reference)),
    ):
        if a != b:
            found.append(f"{name} differ ({len(a)} and {len(b)})")
    if not found:
        found += _errors(part, mine)
    return found


def _faces(part: Partition, points: list) -> dict[tuple, bytes]:
    faces = {}
    for f in range(part.n_faces):
        cycle = [points[v] for v in part.face(f).tolist()]
        first = cycle.index(min(cycle))
        faces[tuple(cycle[first:] + cycle[:first])] = part.face_pattern[f].tobytes()
    return faces


def _edges(part: Partition, points: list) -> dict:
    edges = {}
    patterns = [row.tobytes() for row in part.face_pattern]
    for (a, b), (left, right), unit in zip(
        part.edge_vertices.tolist(), part.edge_faces.tolist(), part.edge_unit.tolist(), strict=True
    ):
        other = patterns[right] if right >= 0 else None
        forward = (points[a], points[b], patterns[left], other, unit)
        backward = (points[b], points[a], other, patterns[left], unit)
        # One of the two ways to write the same edge.
        chosen = forward if other is None or points[a] < points[b] else backward
        edges[chosen] = edges.get(chosen, 0) + 1
    return edges


def _pieces(part: Partition) -> set[frozenset[bytes]]:
    classes: dict[int, list[bytes]] = {}
    for row, piece in zip(part.face_pattern, part.face_affine_piece.tolist(), strict=True):
        classes.setdefault(piece, []).append(row.tobytes())
    return {frozenset(v) for v in classes.values()}


def _errors(part: Partition, points: list) -> list[str]:
    """Check the stated bounds on coordinates and maps in fractions."""
    made = part.vertex_exact.provenance  # type: ignore[attr-defined]
    for (x, y), (dx, dy), (px, py, w) in zip(
        part.vertex_xy.tolist(), part.vertex_error.tolist(), points, strict=True
    ):
        if abs(Fraction(x) - Fraction(px, w)) > Fraction(dx) or abs(
            Fraction(y) - Fraction(py, w)
        ) > Fraction(dy):
            return ["a coordinate is off by more than its bound"]
    for f in range(part.n_faces):
        *rows, scale = made.affine_map(len(made.layers) - 1, f).tolist()
        for i, row in enumerate(rows):
            approximate = [*part.face_weight[f, i].tolist(), float(part.face_bias[f, i])]
            bounds = [*part.face_weight_error[f, i].tolist(), float(part.face_bias_error[f, i])]
            for v, value, bound in zip(row, approximate, bounds, strict=True):
                if abs(Fraction(value) - Fraction(int(v), int(scale[2]))) > Fraction(bound):
                    return ["a coefficient of a map is off by more than its bound"]
    return found_bad_structure(part)


def found_bad_structure(part: Partition) -> list[str]:
    """Euler's formula and the sides of faces; exact checks follow from those above."""
    expected = part.domain.euler_characteristic
    if part.n_vertices - part.n_edges + part.n_faces != expected:
        return [f"V - E + F is not {expected}"]
    return [] if do_sides_match(part) else ["faces and edges disagree"]


def outcome(engine: Any, network: Network, domain: Domain, limit: int) -> Partition | str:
    try:
        return engine(network, domain, max_regions=limit)
    except (OverflowError, LimitError) as error:
        return type(error).__name__


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--count", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0, help="number of the first network")
    parser.add_argument("--only", type=int, default=None, help="number of one network")
    parser.add_argument("--scale", type=int, default=1, help="how many times wider networks")
    parser.add_argument("--limit", type=int, default=1500, help="regions above which to skip")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes if args.minutes is not None else np.inf
    numbers = islice((n for s in itertools.count(args.seed) for n in (s, -1 - s)), args.count)
    if args.only is not None:
        numbers = islice([args.only], 1)
    elif args.minutes is None and args.count is None:
        parser.error("give --minutes, --count or --only")
    if not numba.config.DISABLE_JIT:  # else every overflow in a kernel would warn
        warnings.simplefilter("error")
    kinds: Counter[str] = Counter()
    faces = failures = skipped = 0
    spent = [0.0, 0.0]
    for seed in numbers:
        if time.monotonic() > end:
            break
        kind, network, domain = random_case(seed, args.scale)
        try:
            t0 = time.perf_counter()
            reference = outcome(subdivide_rational, network, domain, args.limit)
            t1 = time.perf_counter()
            if reference == "LimitError":
                skipped += 1
                continue
            part = outcome(subdivide_exact, network, domain, args.limit)
            spent[0] += t1 - t0
            spent[1] += time.perf_counter() - t1
            if isinstance(part, str) or isinstance(reference, str):
                found = [] if part == reference else [f"{part!r} and {reference!r}"]
            else:
                found = differences(part, reference)
                counts = count(network, domain, max_regions=args.limit)
                if counts != faces_by_layer(reference):
                    found.append(f"counts by layer are {counts}")
                faces += len(reference)
        except Exception:
            found = [traceback.format_exc()]
        kinds[kind] += 1
        if found:
            failures += 1
            print(f"MISMATCH in network {seed} ({kind}, {network}): {'; '.join(found)}", flush=True)
    print(
        f"{sum(kinds.values())} networks with {faces} regions compared, {skipped} skipped for "
        f"size, {failures} mismatches; rational {spent[0]:.1f} s, exact {spent[1]:.1f} s"
    )
    print(", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items())))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
