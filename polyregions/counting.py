"""What counting returns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """How many regions a network has on a domain.

    Attributes
    ----------
    by_layer : tuple of int
        Number of activation regions of the network up to each activation layer. Empty if it has
        none. Regions are connected within the domain: where one that is not convex parts the
        points of a pattern, they are several.
    linear_regions : int or None
        Connected sets on which the network is one affine map; None if not asked for.
    affine_pieces : int or None
        Distinct affine maps, connected or not; None if not asked for.
    n_components : int
        How many connected parts the domain has: its regions before all layers.

    Examples
    --------
    >>> import polyregions as pr
    >>> fold = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [-1]), ([[1]], [0])]
    >>> counts = pr.count_regions(fold, (-2, 2), linear=True)
    >>> counts
    Counts(by_layer=(4, 7), linear_regions=4, affine_pieces=4)
    >>> print(counts)
    7 activation regions
      after each layer: 4, 7
      4 linear regions
      4 affine pieces
    """

    by_layer: tuple[int, ...]
    linear_regions: int | None = None
    affine_pieces: int | None = None
    n_components: int = field(default=1, repr=False)

    @property
    def activation_regions(self) -> int:
        """Cells with one activation pattern (Hanin & Rolnick 2019)."""
        return self.by_layer[-1] if self.by_layer else self.n_components

    def __str__(self) -> str:
        lines = [_words(self.activation_regions, "activation region")]
        if self.by_layer:
            lines.append(f"after each layer: {', '.join(map('{:,}'.format, self.by_layer))}")
        if self.linear_regions is not None:
            lines.append(_words(self.linear_regions, "linear region"))
        if self.affine_pieces is not None:
            lines.append(_words(self.affine_pieces, "affine piece"))
        return "\n  ".join(lines)


def _words(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
