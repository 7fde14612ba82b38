"""Files that were changed after they had been written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

import polyregions as pr
from polyregions.formats import arrays


def assert_refused(
    saved: Path, changes: Mapping[str, ArrayLike | None], message: str, folder: Path
) -> None:
    """Loading `saved` with arrays changed, or taken out for None, says what is wrong and where."""
    contents = arrays.read(saved)
    for key, value in changes.items():
        contents.pop(key, None)
        if value is not None:
            contents[key] = np.asarray(value)
    arrays.write(folder / "changed.npz", contents)
    with pytest.raises(pr.FormatError, match=message) as caught:
        pr.load(folder / "changed.npz")
    assert "changed.npz" in str(caught.value)
