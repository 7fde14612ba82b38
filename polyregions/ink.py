"""How much ink lines may have where there are many of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLUR = 5.5  # in points


def ink_share(ink: Any, most: float, widths: Any, point: float) -> NDArray[np.float32]:
    """What to multiply ink by, lest lines cover more than a share of the page around it.

    Parameters
    ----------
    ink : (rows, columns) array_like
        The share of each pixel that lines cover, more than 1 if they lie on each other.
    most : float
        The largest share that they may cover.
    widths : array_like
        Widths of the lines, in points.
    point : float
        A point in pixels.

    Returns
    -------
    (rows, columns) float32
        In [0, 1]. It changes slowly, so that strong lines stay stronger than faint ones.
    """
    from scipy.ndimage import uniform_filter

    # The square around a pixel is so large that a line or two are not taken for a crowd.
    size = max(3, round(point * max(_BLUR, 10.0 * float(np.max(widths, initial=0.0)))))
    around = uniform_filter(np.asarray(ink, dtype=np.float32), size, mode="nearest")
    share: NDArray[np.float32] = np.minimum(np.float32(1.0), most / np.maximum(around, 1e-6))
    return share
