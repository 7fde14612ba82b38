"""The check of a partition of a segment against sampling the model itself; see `verify`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from polyregions.forward import ChartForward, Forward, forward_of
from polyregions.line import LinePartition
from polyregions.lower import lower
from polyregions.network import FloatArray
from polyregions.segment import Segment
from polyregions.verify import Verification, Verifier


@dataclass(frozen=True)
class LineVerification(Verification):
    """What the samples said about a partition of a segment.

    The attributes are those of `Verification`, with pieces for faces and lengths of the parameter
    for areas. There is a check ``breakpoints`` in place of ``edges``; finite differences are taken
    along the segment.

    Attributes
    ----------
    ok, resolution, precision, checks, n_samples, n_straddling, n_hit, missed_faces, missed_areas
        See `Verification`.
    """

    def __str__(self) -> str:
        n = len(self.missed_faces)
        longest = f", the longest of length {self.missed_areas.max():.3g}" if n else ""
        return "\n".join(
            [
                f"Verification {'passed' if self.ok else 'FAILED'}: {self.n_samples:,} samples of "
                f"the model's own forward in {self.precision}",
                *(f"  {check}" for check in self.checks),
                f"  {self.n_straddling:,} finite-difference stencils straddle a breakpoint",
                f"  the samples hit {self.n_hit:,} pieces and miss {n:,}{longest}",
            ]
        )


def verify_line(part: LinePartition, model: Any, resolution: int) -> LineVerification:
    """Check a partition of a segment; see `polyregions.verify`.

    Parameters
    ----------
    part : LinePartition
    model
    resolution : int
        Number of samples, at equal distances along the segment, or along a part of the whole
        line that holds all breakpoints.
    """
    segment = part.segment
    whole = lower(model, shape=segment.shape)
    forward = SegmentForward(forward_of(model, network=whole, shape=segment.shape), segment)
    report = _LineVerifier(part.strips, segment.restrict(whole), forward, resolution).run()
    piece = np.empty(part.n_pieces, dtype=np.int64)
    piece[part.piece_face] = np.arange(part.n_pieces)
    missed = np.sort(piece[report.missed_faces])
    checks = tuple(
        replace(c, name="breakpoints") if c.name == "edges" else c for c in report.checks
    )
    values = {item.name: getattr(report, item.name) for item in fields(report)}
    values |= {"checks": checks, "missed_faces": missed, "missed_areas": part.lengths[missed]}
    return LineVerification(**values)


class SegmentForward(ChartForward):
    """A model that is called at points of a segment, by its parameter and one that does nothing."""

    def __init__(self, forward: Forward, segment: Segment) -> None:
        super().__init__(forward)
        self._segment = segment
        self._ends = np.stack([segment.b.ravel(), segment.a.ravel()], axis=1)

    def _place(self, points: FloatArray) -> FloatArray:
        return self._segment(points[:, 0])

    def _derivative(self, jacobian: FloatArray) -> FloatArray:
        by_ends = jacobian @ self._ends
        by_s = by_ends[..., 0] - by_ends[..., 1]
        return np.stack([by_s, np.zeros_like(by_s)], axis=-1)


class _LineVerifier(Verifier):
    def _axes(self) -> tuple[FloatArray, FloatArray]:
        """Samples half-way up the strips; of a whole line where its breakpoints are."""
        xmin, ymin, xmax, ymax = self.part.domain.bounds
        s = np.unique(np.linspace(xmin, xmax, self.resolution))
        return s, np.array([ymin / 2 + ymax / 2])
