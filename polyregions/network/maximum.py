"""Units that take the largest of several values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyregions.network.values import ByteArray, FloatArray, Frozen, IntArray, as_indices

# Pieces are bytes.
_MOST_MEMBERS = 256


@dataclass(frozen=True, eq=False)
class Maximum(Frozen):
    """Unit h gives the largest of the values ``members[h]``, and is on the piece of its place.

    Of equal values the first counts.

    Attributes
    ----------
    members : (n, K) int64
        Which values each unit chooses from; -1 at the end fills the row of a unit with fewer
        than K.
    width : int
        Number of values that the step takes.
    name : str

    Raises
    ------
    ValueError
        If a unit has no member, one twice, or more than 256.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import Maximum
    >>> Maximum(np.array([[0, 1], [2, 1]]), 3)(np.array([1.0, 5.0, 5.0]))
    array([5., 5.])
    """

    members: IntArray
    width: int
    name: str = "max"

    def __post_init__(self) -> None:
        members = as_indices(self.members, self.width, self.name)
        if members.ndim != 2 or not members.shape[1]:
            raise ValueError(f"the members of {self.name} must be (n, K), got {members.shape}")
        if members.shape[1] > _MOST_MEMBERS:
            raise ValueError(
                f"{self.name} takes the largest of {members.shape[1]} values; a unit can have "
                f"{_MOST_MEMBERS} pieces at most"
            )
        ordered = np.sort(members, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        ragged = (members[:, :-1] < 0) & (members[:, 1:] >= 0)
        if (members[:, 0] < 0).any() or twice.any() or ragged.any():
            raise ValueError(f"a unit of {self.name} has no member, one twice, or -1 before others")
        object.__setattr__(self, "members", members)

    @property
    def n_inputs(self) -> int:
        return self.width

    @property
    def n_outputs(self) -> int:
        return len(self.members)

    def candidates(self, z: FloatArray) -> FloatArray:
        """(..., n, K) values of the members of each unit; -inf where there is none."""
        return np.where(self.members >= 0, z[..., self.members], -np.inf)

    def piece(self, z: FloatArray) -> ByteArray:
        """Piece of every unit, (..., n) uint8, at values `z` of shape (..., n_inputs)."""
        return self.candidates(z).argmax(axis=-1).astype(np.uint8)

    def margin(self, z: FloatArray) -> FloatArray:
        """(..., n) distance of the largest of each unit's values from the next; inf without."""
        if self.members.shape[1] == 1:
            return np.full((*z.shape[:-1], self.n_outputs), np.inf)
        ordered = np.partition(self.candidates(z), -2, axis=-1)
        return ordered[..., -1] - ordered[..., -2]

    def chosen(self, piece: ByteArray) -> IntArray:
        """(..., n) which value of the step each unit gives, on `piece` (..., n)."""
        return self.members[np.arange(len(self.members)), piece]

    def __call__(self, z: FloatArray) -> FloatArray:
        largest: FloatArray = self.candidates(z).max(axis=-1)
        return largest
