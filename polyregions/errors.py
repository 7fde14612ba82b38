"""The exceptions that polyregions raises on its own account.

Misuse of a function (a reversed domain, arrays whose shapes do not chain) is an ordinary
``ValueError`` or ``TypeError``. What is left derives from :class:`PolyregionsError`, but for
:class:`Interrupted`, which is a ``KeyboardInterrupt``.
"""

from __future__ import annotations


class PolyregionsError(Exception):
    """Base class of the exceptions below."""


class UnsupportedLayerError(PolyregionsError, TypeError):
    """The model holds an operation that has no exact piecewise-linear form here."""


class LoweringError(PolyregionsError):
    """The lowered network disagrees with the model's own forward pass.

    This is a defect of polyregions or a model whose forward is not a function of its input
    alone (random, stateful); no partition is computed from such a network.
    """


class FormatError(PolyregionsError, ValueError):
    """A file is damaged, foreign, unsafe to open, or of a newer schema."""


class MissingPackageError(PolyregionsError, ImportError):
    """An optional package is needed that is not installed; the message names the extra."""


class LimitError(PolyregionsError):
    """A subdivision was stopped because it would exceed a limit.

    Attributes
    ----------
    counts : tuple of int
        Number of faces after each activation layer that was finished.
    layer : int
        Index of the activation layer in which the limit was hit.
    """

    def __init__(self, message: str, counts: tuple[int, ...] = (), layer: int = 0) -> None:
        super().__init__(message)
        self.counts = counts
        self.layer = layer


class CertificateError(PolyregionsError):
    """A finished partition failed its self-check, which is a defect of polyregions.

    Attributes
    ----------
    failures : tuple of str
        What does not hold.
    """

    def __init__(self, message: str, failures: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.failures = failures


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped a subdivision; the message says how far it got.

    No `PolyregionsError`, nor even an `Exception`: what catches errors to go on with something
    else must not catch this.

    Attributes
    ----------
    counts : tuple of int
        Number of faces after each activation layer that was finished. Where regions are only
        counted, which goes depth first, those of every layer that were counted so far.
    layer : int
        Index of the activation layer that was being worked on.

    Examples
    --------
    >>> import polyregions as pr
    >>> try:
    ...     raise pr.Interrupted("interrupted in layer 2 of 3", counts=(57,), layer=1)
    ... except KeyboardInterrupt as stop:
    ...     print(stop.counts, stop.layer)
    (57,) 1
    """

    def __init__(self, message: str, counts: tuple[int, ...] = (), layer: int = 0) -> None:
        super().__init__(message)
        self.counts = counts
        self.layer = layer
