"""Random small networks with branches, convolutions and maxima, each from its number."""

from __future__ import annotations

from typing import Any

import numpy as np
from shapely import Polygon

from polyregions.domain import Domain, as_domain
from polyregions.network import (
    Activation,
    Affine,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Step,
    Sum,
    absolute,
    clamp,
    leaky_relu,
    prelu,
    relu,
)

KINDS = (
    "residual", "concatenated", "branches", "skip", "maxout", "minimum", "pooled", "signal",
    "picture", "any steps",
)  # fmt: skip
WEIGHTS = (
    "normal", "single", "integer", "ternary", "four_bit", "zero_bias", "dead", "awkward", "scaled",
    "wild", "huge", "tiny",
)  # fmt: skip


def random_graph(number: int) -> tuple[str, Network, Domain]:
    """The network and domain with a number, and what kind they are."""
    rng = np.random.default_rng([number, 2])
    kind = KINDS[number % len(KINDS)]
    weights = WEIGHTS[number // len(KINDS) % len(WEIGHTS)]
    made = Builder(rng, weights)
    last = getattr(made, kind.replace(" ", "_"))()
    return kind, made.network(last), as_domain(_domain(rng))


def _domain(rng: np.random.Generator) -> Any:
    choices = [
        (-1.0, 1.0), (-2.0, 2.0), (-10.0, 10.0), (-0.3, -0.7, 1.1, 0.9), (-1e-3, 1e-3),
        Polygon([(-2, -2), (4, -2), (0, 6)]),
    ]  # fmt: skip
    return choices[int(rng.integers(len(choices)))]


class Builder:
    """Steps that are appended one after the other; values are known by their numbers."""

    def __init__(self, rng: np.random.Generator, weights: str) -> None:
        self.rng, self.weights = rng, weights
        self.steps: list[Step] = []
        self.sources: list[tuple[int, ...]] = []
        self.widths = [2]

    def network(self, last: int) -> Network:
        if last != len(self.steps) or self.rng.random() < 0.8:
            self.affine(int(self.rng.integers(1, 4)), last)
        return Network(tuple(self.steps), 2, sources=tuple(self.sources))

    def add(self, step: Step, *sources: int) -> int:
        self.steps.append(step)
        self.sources.append(sources)
        self.widths.append(step.n_outputs)
        return len(self.steps)

    def width(self, *sources: int) -> int:
        return sum(self.widths[v] for v in sources)

    def some(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    # -- steps -------------------------------------------------------------------------------

    def draw(self, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights of some shape, (out, in, ...), and biases."""
        rng, kind, n_out = self.rng, self.weights, shape[0]
        n_in = max(1, int(np.prod(shape[1:])))
        w, b = rng.normal(size=shape) * np.sqrt(2 / n_in), rng.normal(size=n_out) * 0.5
        if kind == "single":
            w, b = (v.astype(np.float32).astype(float) for v in (w, b))
        elif kind == "integer":
            w, b = (rng.integers(-3, 4, n).astype(float) for n in (shape, n_out))
        elif kind == "ternary":
            w, b = (rng.integers(-1, 2, n).astype(float) for n in (shape, n_out))
        elif kind == "four_bit":
            step = float(np.float32(rng.uniform(0.02, 0.2)))
            w, b = (rng.integers(-8, 8, n) * step for n in (shape, n_out))
        elif kind == "zero_bias":
            b = np.zeros(n_out)
        elif kind == "dead":
            w = w * (rng.random(shape) < 0.5)
            w[rng.random(n_out) < 0.3] = 0.0
            b = b * (rng.random(n_out) < 0.6)
        elif kind == "awkward":
            palette = [0.0, 1.0, -1.0, 2.0, 0.5, 0.1, -1 / 3, 2 / 3, 1 + 2.0**-52, 1e-9, -1e9]
            w, b = rng.choice(palette, shape), rng.choice(palette, n_out)
        elif kind == "scaled":
            w, b = (v * 10.0 ** float(rng.integers(-9, 10)) for v in (w, b))
        elif kind == "wild":  # each unit by itself
            by = rng.integers(-60, 60, n_out)
            w, b = np.ldexp(w, by.reshape(-1, *[1] * (len(shape) - 1))), np.ldexp(b, by)
        elif kind in ("huge", "tiny"):  # biases with weights, or without, or there are none
            by = rng.integers(-420, 420, 2) if kind == "huge" else rng.integers(-1070, 1, 2)
            w, b = np.ldexp(w, by[0]), np.ldexp(b, by[int(rng.integers(2))]) * rng.integers(2)
        if rng.random() < 0.25:  # some units the same as others, opposite or doubled
            for i in range(1, n_out):
                if rng.random() < 0.5:
                    j, factor = self.some(0, i - 1), float(rng.choice([1.0, -1.0, 2.0, 3.0]))
                    w[i], b[i] = factor * w[j], factor * b[j]
        return w, b

    def affine(self, n: int, *sources: int) -> int:
        return self.add(Affine(*self.draw(n, self.width(*sources))), *sources)

    def activation(self, *sources: int) -> int:
        return self.add(self._activation(self.width(*sources)), *sources)

    def _activation(self, n: int) -> Activation:
        rng, choice = self.rng, self.rng.random()
        if choice < 0.6:
            return relu(n)
        if choice < 0.7:
            return leaky_relu(n, float(rng.choice([0.01, 0.5, -0.25, 2.0**-600])))
        if choice < 0.8:
            return absolute(n)
        if choice < 0.9:
            bounds = rng.choice([-1.0, -0.5, 0.0, 0.25, 1.0, 6.0], 2, replace=False)
            return clamp(n, *sorted(bounds.tolist()))
        return prelu(rng.choice([0.0, 0.25, 1.0, -1.0, -0.5], n))

    def sum(self, *sources: int) -> int:
        """Values of one width, added up with some signs."""
        factors = self.rng.choice([1.0, 1.0, -1.0, 2.0, 0.1, 0.0], len(sources))
        return self.add(Sum(factors, self.widths[sources[0]]), *sources)

    def gather(self, n: int, *sources: int) -> int:
        """Some values, in any order, and some numbers."""
        width = self.width(*sources)
        index = self.rng.integers(-1 if self.rng.random() < 0.3 else 0, width, n)
        fill = np.where(index < 0, self.rng.choice([0.0, 0.0, 1.0, -0.3], n), 0.0)
        return self.add(Gather(index, width, fill=fill), *sources)

    def scale(self, *sources: int) -> int:
        n = self.width(*sources)
        _, shift = self.draw(n, 1)
        return self.add(Scale(self.rng.choice([1.0, -1.0, 2.0, 0.3, 0.0], n), shift), *sources)

    def maximum(self, n: int, most: int, *sources: int) -> int:
        """Units that take the largest of up to `most` of the values, some of fewer."""
        width = self.width(*sources)
        members = np.full((n, min(most, width)), -1)
        for row in members:
            k = self.some(1, len(row)) if self.rng.random() < 0.4 else len(row)
            row[:k] = self.rng.permutation(width)[:k]
        return self.add(Maximum(members, width), *sources)

    def pool(self, source: int, shape: tuple[int, ...], size: int, stride: int) -> int:
        """The largest of the values in windows of (channels, *shape) values."""
        n = self.widths[source]
        where = np.arange(n).reshape(-1, *shape)
        axes = [range(0, max(1, k - size + stride), stride) for k in shape]
        windows = []
        for channel in where:
            for corner in np.ndindex(*map(len, axes)):
                window = tuple(
                    slice(axis[i], axis[i] + size) for axis, i in zip(axes, corner, strict=True)
                )
                windows.append(channel[window].ravel())
        members = np.full((len(windows), max(map(len, windows))), -1)
        for row, window in zip(members, windows, strict=True):
            row[: len(window)] = window
        return self.add(Maximum(members, n), source)

    def convolution(self, n: int, source: int, shape: tuple[int, ...]) -> tuple[int, tuple]:
        """A convolution of (channels, *shape) values, and the shape of what it gives."""
        into = self.widths[source] // int(np.prod(shape))
        groups = into if into == n and self.rng.random() < 0.3 else 1
        while True:
            kernel = [self.some(1, 3) for _ in shape]
            stride, dilation = (tuple(self.some(1, 2) for _ in shape) for _ in range(2))
            padding = tuple((self.some(-1, 2), self.some(-1, 1)) for _ in shape)
            w, b = self.draw(n, into // groups, *kernel)
            try:
                step = Convolution(w, b, shape, stride, padding, dilation, groups)
            except ValueError:  # the kernel does not fit
                continue
            if 2 < step.n_outputs <= 10:
                return self.add(step, source), step.out_shape

    # -- kinds -------------------------------------------------------------------------------

    def residual(self) -> int:
        n = self.some(2, 6)
        x = self.affine(n, 0)
        if self.rng.random() < 0.5:
            x = self.activation(x)
        for _ in range(self.some(1, 3)):
            inner = self.activation(self.affine(self.some(2, 5), x))
            x = self.sum(x, self.affine(n, inner))
            if self.rng.random() < 0.5:
                x = self.activation(x)
        return x

    def concatenated(self) -> int:
        values = [0]
        for _ in range(self.some(2, 4)):
            values.append(self.activation(self.affine(self.some(2, 4), *values)))
        return self.affine(2, *values)

    def branches(self) -> int:
        trunk = self.activation(self.affine(self.some(3, 6), 0))
        n, ends = self.some(2, 3), []
        for depth in range(self.some(2, 3)):
            x = trunk
            for _ in range(depth):
                x = self.activation(self.affine(self.some(2, 4), x))
            ends.append(self.affine(n, x))
        self.rng.shuffle(ends)
        if self.rng.random() < 0.5:
            return self.activation(self.sum(*ends))
        return self.maximum(self.some(1, 2), 3, *ends)

    def skip(self) -> int:
        x = self.activation(self.affine(self.some(3, 8), 0))
        x = self.activation(self.affine(self.some(2, 6), x, 0))
        return self.affine(self.some(1, 3), 0, x, 0)

    def maxout(self) -> int:
        x = 0
        for _ in range(self.some(1, 3)):
            n, k = self.some(2, 4), self.some(1, 5)
            x = self.affine(n * k, x)
            members = self.rng.permutation(n * k).reshape(n, k)
            x = self.add(Maximum(members, n * k), x)
        return x

    def minimum(self) -> int:
        x = self.affine(self.some(2, 5), 0)
        n = self.widths[x]
        low = self.add(Scale(np.full(n, -1.0), np.zeros(n)), x)
        low = self.maximum(self.some(1, 3), 5, low)
        low = self.add(Scale(np.full(self.widths[low], -1.0), np.zeros(self.widths[low])), low)
        high = self.maximum(self.widths[low], 5, x)
        return self.sum(high, low) if self.rng.random() < 0.7 else self.activation(high, low)

    def pooled(self) -> int:
        x, shape = 0, (2,)
        if self.rng.random() < 0.8:
            shape = (self.some(2, 6),)
            x = self.affine(shape[0] * self.some(1, 2), 0)
        if self.rng.random() < 0.4:
            x = self.activation(x)
        x = self.pool(x, shape, self.some(2, 3), self.some(1, 2))
        if self.rng.random() < 0.5:
            return self.maximum(self.some(1, 2), 3, x)
        return self.activation(self.affine(self.some(2, 5), x))

    def signal(self) -> int:
        return self._convolved((self.some(4, 7),))

    def picture(self) -> int:
        return self._convolved((self.some(2, 4), self.some(2, 3)))

    def _convolved(self, shape: tuple[int, ...]) -> int:
        x = self.affine(self.some(1, 2) * int(np.prod(shape)), 0)
        if self.rng.random() < 0.5:
            x = self.activation(x)
        for _ in range(self.some(1, 2)):
            x, shape = self.convolution(self.some(1, 3), x, shape)
            x = self.activation(x)
            if self.rng.random() < 0.5 and max(shape) > 1:
                channels = self.widths[x] // int(np.prod(shape))
                x = self.pool(x, shape, 2, self.some(1, 2))
                shape = (self.widths[x] // channels,)
        return x

    def any_steps(self) -> int:
        values = [0, self.affine(self.some(3, 6), 0)]
        unused = values[1:]
        cuts = 0
        for _ in range(self.some(4, 12)):
            # Mostly what no step has taken yet.
            pool = unused if unused and self.rng.random() < 0.6 else values
            sources = self.rng.choice(pool, self.some(1, 2)).tolist()
            if self.width(*sources) > 12:
                sources = sources[:1]
            kind = self.some(0, 7)
            if kind < 2:
                x = self.affine(self.some(2, 5), *sources)
            elif kind == 2:
                x = self.gather(self.some(2, 5), *sources)
            elif kind == 3:
                x = self.scale(*sources)
            elif kind == 4:
                like = [v for v in values if self.widths[v] == self.widths[sources[0]]]
                x = self.sum(sources[0], *self.rng.choice(like, self.some(0, 2)).tolist())
            elif cuts > 4 or self.width(*sources) > 8:
                continue
            elif kind == 5:
                x, cuts = self.maximum(self.some(1, 3), 4, *sources), cuts + 1
            else:
                x, cuts = self.activation(*sources), cuts + 1
            unused = [v for v in unused if v not in self.sources[-1]] + [x]
            values.append(x)
        if len(unused) > 1 or not unused:
            return self.affine(2, *unused, 0)
        return unused[0]
