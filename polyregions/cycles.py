"""The cycles of corners that faces are, laid out side by side in arrays."""

from __future__ import annotations

import numpy as np

from polyregions.network import IntArray


def sides(face_offsets: IntArray, face_vertices: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """List the sides of all faces, in the order of the corners that they start at.

    Parameters
    ----------
    face_offsets : (F + 1,) int
    face_vertices : (S,) int
        As in a `Partition`: face f has the corners
        ``face_vertices[face_offsets[f]:face_offsets[f + 1]]``, and at least one.

    Returns
    -------
    start, end : (S,) int
        The vertices at both ends of every side, as it is met counter-clockwise. `start` is
        `face_vertices` itself.
    face : (S,) int32
        The face that every side belongs to.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions import cycles
    >>> start, end, face = cycles.sides(np.array([0, 3, 6]), np.array([0, 1, 2, 2, 1, 3]))
    >>> end
    array([1, 2, 0, 1, 3, 2])
    >>> face
    array([0, 0, 0, 1, 1, 1], dtype=int32)
    """
    end = np.empty_like(face_vertices)
    end[:-1] = face_vertices[1:]
    end[face_offsets[1:] - 1] = face_vertices[face_offsets[:-1]]
    face = np.repeat(np.arange(len(face_offsets) - 1, dtype=np.int32), np.diff(face_offsets))
    return face_vertices, end, face
