"""Files: saved partitions, and models to partition."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import Any

from polyregions.errors import FormatError, PolyregionsError
from polyregions.formats import npz
from polyregions.models import FROM_KERAS, kind_of
from polyregions.network import Network
from polyregions.partition import Partition

MODEL_KINDS = (
    "a .pt2 file (torch.export.save), an .onnx file, an .nnet file, an .npz of weights and biases, "
    "a .pt or .pth state dict of a stack of linear layers, or model.py:callable"
)


def load(path: str | PathLike[str]) -> Partition:
    """Load a partition that `Partition.save` wrote.

    Nothing is unpickled or run, whatever the file holds. It is checked to be one complex without
    contradictions; whether its faces are convex and fill the domain is what
    `Partition.certificate` says.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Partition
        Equal to the saved one in every array and exact vertex. The exact vertices of the compiled
        engine are worked out when they are asked for, as before.

    Raises
    ------
    FormatError
        If the file is damaged, foreign, unsafe or of a newer schema.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import polyregions as pr
    >>> part = pr.partition([([[3, 1]], [-1]), ([[1]], [0])], domain=(0, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "part.npz")
    ...     part.save(path)
    ...     again = pr.load(path)
    >>> sorted(again.exact_vertex(v) for v in range(again.n_vertices))[2]
    (Fraction(1, 3), Fraction(0, 1))
    """
    return Partition(**npz.read(path))


def is_partition(path: str | PathLike[str]) -> bool:
    """Whether a file says that it is a saved partition.

    Only the names of its arrays are looked at; a file without that claim, or none at all, is
    not one.
    """
    return Path(path).is_file() and npz.is_partition(path)


def load_model(
    path: str | PathLike[str], *, activation: str = "relu", transpose: bool = False
) -> Any:
    """Open a file that holds a model.

    The kind is told by the ending of the name:

    ``.pt2``
        A program saved by ``torch.export.save``. It is read without `torch.export.load`, which
        can be made to run code; calls to anything but the tensor operations of
        piecewise-linear networks are refused.
    ``.npz``
        Weights and biases of linear layers with `activation` between every two of them, named in
        one of two ways: ``weight_0`` and ``bias_0`` (or ``weight0``, ``W0`` and ``b0``, ``W_0``
        and ``b_0``), or as torch does, ``0.weight`` and ``0.bias`` (``fc1.weight``,
        ``layers.2.bias``; also with ``/`` or ``_`` for the dot, and ``W``, ``A`` or ``kernel`` and
        ``b`` for the words). Layers come in the order of their numbers, 2 before 10; where their
        names differ in more than numbers, in the order of the file. A missing bias is zero. Empty
        arrays may name the steps between layers, as ``0001.relu._`` does; ReLU is all they may be.
    ``.nnet``
        The NNet text format, in which ACAS Xu is published, with the normalisation of its header.
    ``.onnx``
        An ONNX model, read with the package onnx (``pip install 'polyregions[onnx]'``). Weights
        that it keeps in other files are read only from its own folder.
    ``.pt``, ``.pth``
        The state dict of a stack of linear layers, with such names, in its own order; read with
        ``weights_only=True``.
    ``model.py:callable``
        Your own code: the file is imported, and `callable` (a module, or a function or class to
        call without arguments) gives the model. This kind alone runs code.

    Parameters
    ----------
    path : str or path
    activation : str
        For ``.npz`` and state dicts, which do not tell: ``relu``, ``leaky_relu`` or
        ``leaky_relu:SLOPE``, ``abs``, ``relu6``, ``hardtanh`` or ``hardtanh:LOW:HIGH``,
        ``identity``. There is none after the last layer.
    transpose : bool
        Weights of an ``.npz`` or state dict are stored as (in, out) instead of (out, in).

    Returns
    -------
    torch.nn.Module, onnx.ModelProto, `polyregions.formats.nnet.NNet`, or what the callable returns
        A model for `polyregions.partition`, in eval mode unless it is your own.

    Raises
    ------
    FormatError
        If the file is damaged, foreign, unsafe or not of a known kind.
    UnsupportedLayerError
        If a program calls an operation that is not known.
    ValueError
        If the activation is not known.
    MissingPackageError
        If an ONNX model is to be read and the package onnx is not installed.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from polyregions.io import load_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "net.npz")
    ...     np.savez(path, W0=np.ones((3, 2)), b0=np.zeros(3), W1=np.ones((1, 3)))
    ...     load_model(path)
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=1, bias=False)
    )
    """
    name = fspath(path)
    file, colon, attribute = name.rpartition(":")
    if colon and file.lower().endswith(".py"):
        return _call_own_code(file, attribute)
    kind = Path(name).suffix.lower()
    if kind == ".py":
        raise FormatError(
            f"{name} is Python code; say which object gives the model, as in {name}:make_model"
        )
    if kind not in (".npz", ".nnet", ".onnx", ".pt2", ".pt", ".pth"):
        hint = f". Of a model of Keras, {FROM_KERAS}" if kind in (".keras", ".h5", ".hdf5") else ""
        raise FormatError(
            f"{name} is no kind of model that is known: it must be {MODEL_KINDS}{hint}"
        )
    if kind == ".pt2":
        from polyregions.formats import pt2

        return pt2.read(path)
    if kind == ".nnet":
        from polyregions.formats import nnet

        return nnet.read(path)
    if kind == ".onnx":
        from polyregions.formats import onnx

        return onnx.read(path)
    if is_partition(path):
        raise FormatError(
            f"{name} is a saved partition, not a model; polyregions.load opens it, and "
            f"`polyregions verify MODEL --partition {name}` checks it against its model"
        )
    from polyregions.formats import weights

    read = weights.read_npz if kind == ".npz" else weights.read_state_dict
    return read(path, activation=activation, transpose=transpose)


def load_network(
    path: str | PathLike[str],
    *,
    activation: str = "relu",
    transpose: bool = False,
    shape: tuple[int, ...] | None = None,
) -> Network:
    """Open a file that holds a model, as `load_model` does, and lower the model.

    An ``.npz`` of weights is read without torch, which takes longer to import than most counts.

    Parameters
    ----------
    path, activation, transpose
        As for `load_model`.
    shape
        As for `polyregions.lower`.

    Returns
    -------
    Network

    Raises
    ------
    FormatError, UnsupportedLayerError, ValueError, OSError
        As `load_model` and `polyregions.lower` do.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from polyregions.io import load_network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "net.npz")
    ...     np.savez(path, W0=np.ones((3, 2)), b0=np.zeros(3), W1=np.ones((1, 3)))
    ...     load_network(path)
    <Network 2-3-1, 3 units>
    """
    if Path(path).suffix.lower() == ".npz" and not is_partition(path):
        from polyregions.formats.layers import read_network

        return read_network(path, activation=activation, transpose=transpose)
    from polyregions.lower import lower

    return lower(load_model(path, activation=activation, transpose=transpose), shape=shape)


def _call_own_code(file: str, attribute: str) -> Any:
    """The model that an object in the user's own file gives."""
    with _as_script(file) as path:
        module = _import_file(path, file)
        found: Any = module
        for part in attribute.split("."):
            if not hasattr(found, part):
                own = [
                    name
                    for name, value in vars(module).items()
                    if getattr(value, "__module__", None) == module.__name__ or _is_model(value)
                ]
                raise FormatError(
                    f"{file} has no {attribute!r}; it defines {', '.join(own) or 'no model'}"
                )
            found = getattr(found, part)
        if _is_model(found):
            return found
        if not callable(found):
            raise FormatError(
                f"{file}:{attribute} is a {type(found).__name__}, neither a model nor callable"
            )
        try:
            model = found()
        except PolyregionsError:
            raise
        except (Exception, SystemExit) as error:
            raise FormatError(
                f"{file}:{attribute}() raised {type(error).__name__}: {error}"
            ) from error
    if not _is_model(model):
        raise FormatError(
            f"{file}:{attribute}() returned a {type(model).__name__}; it must return a "
            "torch.nn.Module, an exported program, a list of (weight, bias) arrays, an estimator "
            "of scikit-learn, an onnx.ModelProto or a Network"
        )
    return model


def _is_model(value: Any) -> bool:
    try:
        kind_of(value)
    except TypeError:
        return False
    return True


@contextmanager
def _as_script(file: str) -> Iterator[Path]:
    """While the file is in use it finds its neighbours, as with ``python model.py``."""
    path = Path(file).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield path
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _import_file(path: Path, file: str) -> ModuleType:
    # Not the plain name, which may be that of another module, such as a file called torch.py.
    name = f"polyregions_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # classes look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise FormatError(f"{file} raised {type(error).__name__} when imported: {error}") from error
    return module
