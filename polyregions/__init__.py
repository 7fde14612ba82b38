"""The exact linear regions of a piecewise-linear network on a 2-D domain, without sampling."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyregions import bounds as bounds
    from polyregions import plot as plot
    from polyregions import smooth as smooth
    from polyregions.analysis.decisions import with_decision as with_decision
    from polyregions.api import count_regions as count_regions
    from polyregions.api import partition as partition
    from polyregions.attribution import integrated_gradients as integrated_gradients
    from polyregions.certificate import Certificate as Certificate
    from polyregions.counting import Counts as Counts
    from polyregions.domain import Domain as Domain
    from polyregions.domain import Plane as Plane
    from polyregions.errors import CertificateError as CertificateError
    from polyregions.errors import FormatError as FormatError
    from polyregions.errors import Interrupted as Interrupted
    from polyregions.errors import LimitError as LimitError
    from polyregions.errors import LoweringError as LoweringError
    from polyregions.errors import MissingPackageError as MissingPackageError
    from polyregions.errors import PolyregionsError as PolyregionsError
    from polyregions.errors import UnsupportedLayerError as UnsupportedLayerError
    from polyregions.io import load as load
    from polyregions.io import load_model as load_model
    from polyregions.line import LinePartition as LinePartition
    from polyregions.line import PieceCount as PieceCount
    from polyregions.line import partition_line as partition_line
    from polyregions.lower import lower as lower
    from polyregions.network import Network as Network
    from polyregions.partition import Partition as Partition
    from polyregions.partition import RegionCount as RegionCount
    from polyregions.polygon import PolygonDomain as PolygonDomain
    from polyregions.progress import Progress as Progress
    from polyregions.segment import Segment as Segment
    from polyregions.slice import Slice as Slice
    from polyregions.verify import Check as Check
    from polyregions.verify import Verification as Verification
    from polyregions.verify import verify as verify

__version__ = "0.1.0"

# Everything is imported when it is first used, so that `import polyregions` takes no time.
_MODULES = ("bounds", "plot", "smooth")
_HOMES = {
    "Certificate": "certificate",
    "CertificateError": "errors",
    "Check": "verify",
    "Counts": "counting",
    "Domain": "domain",
    "FormatError": "errors",
    "Interrupted": "errors",
    "LimitError": "errors",
    "LinePartition": "line",
    "LoweringError": "errors",
    "MissingPackageError": "errors",
    "Network": "network",
    "Partition": "partition",
    "PieceCount": "line",
    "Plane": "domain",
    "PolygonDomain": "polygon",
    "PolyregionsError": "errors",
    "Progress": "progress",
    "RegionCount": "partition",
    "Segment": "segment",
    "Slice": "slice",
    "UnsupportedLayerError": "errors",
    "Verification": "verify",
    "count_regions": "api",
    "integrated_gradients": "attribution",
    "load": "io",
    "load_model": "io",
    "lower": "lower",
    "partition": "api",
    "partition_line": "line",
    "verify": "verify",
    "with_decision": "analysis.decisions",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"polyregions.{name}")
    if name in _HOMES:
        value = getattr(import_module(f"polyregions.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'polyregions' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_HOMES})


class _Package(ModuleType):
    """Keeps `polyregions.partition` the function, whenever the module of that name is imported.

    The import system makes every submodule an attribute of its package once it is loaded.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
