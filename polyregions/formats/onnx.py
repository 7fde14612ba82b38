"""ONNX files: the model, its tensors as arrays, and nothing outside the model's own folder."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyregions.errors import FormatError, MissingPackageError

Model: TypeAlias = Any  # an onnx.ModelProto
Array: TypeAlias = NDArray[Any]

# Numbers in any value that an operator makes: a few bytes of a file can ask for any size.
MOST_NUMBERS = 1 << 26

# Kinds of numbers by their code in a file, and as what they are read. All are kept exactly.
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def package() -> ModuleType:
    """The package onnx, which is an extra.

    Raises
    ------
    MissingPackageError
        If it is not there.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(
            "ONNX files are read with the package onnx, which is not installed: "
            "pip install 'polyregions[onnx]'"
        ) from error
    return onnx


def read(path: str | PathLike[str]) -> Model:
    """Read an ``.onnx`` file; see `polyregions.io.load_model`.

    Weights that the file keeps in other files are read as well, if those lie in its own folder or
    below it.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    FormatError
        If the file is no ONNX model, is damaged, or points outside its folder.
    MissingPackageError
        If the package onnx is not installed.
    OSError
        If the file cannot be read.
    """
    onnx = package()
    where = fspath(path)
    data = Path(path).read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # a DecodeError, whose place differs between versions of protobuf
        raise FormatError(f"{where} is no ONNX model, or is damaged: {error}") from None
    if not model.HasField("graph") or not model.opset_import:
        raise FormatError(f"{where} is no ONNX model: it holds no graph, or says no operator set")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _fetch(tensor, Path(path).parent, where)
    return model


def _tensors(model: Model) -> Iterator[Any]:
    """All tensors of a model, those in attributes and subgraphs too."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            yield from attribute.tensors
            graphs.extend(attribute.graphs)
            if attribute.HasField("g"):
                graphs.append(attribute.g)


def _fetch(tensor: Any, folder: Path, where: str) -> None:
    """Take the numbers of a tensor out of the file that it names."""
    facts = {entry.key: entry.value for entry in tensor.external_data}
    name = f"the tensor {tensor.name!r} of {where}"
    location = facts.get("location", "")
    folder = folder.resolve()
    path = (folder / location).resolve()  # follows links
    if not location or not path.is_relative_to(folder) or not path.is_file():
        raise FormatError(
            f"{name} is said to be in {location!r}; only files in the model's own folder are read, "
            "and there must be such a file. Save the model in one file instead: "
            "onnx.save(model, path, save_as_external_data=False)"
        )
    count, dtype = _claim(tensor, name)
    width = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    try:
        offset, length = int(facts.get("offset", 0)), int(facts.get("length", count * width))
    except ValueError:
        offset = length = -1
    if offset < 0 or length != count * width or offset + length > path.stat().st_size:
        raise FormatError(
            f"{name} has {count} numbers of {width} bytes, but is said to be {facts.get('length')} "
            f"bytes from byte {facts.get('offset', 0)} of {location!r}"
        )
    with path.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = package().TensorProto.DEFAULT
    del tensor.external_data[:]


def dtype_of(code: int, name: str) -> str:
    """The name of a kind of numbers, by its code in a file.

    Raises
    ------
    FormatError
        If it is one that no piecewise-linear network is made of here.
    """
    if code not in _DTYPES:
        known = package().TensorProto.DataType
        kind = known.Name(code) if code in known.values() else f"code {code}"
        raise FormatError(f"{name} is of {kind}; read are {', '.join(_DTYPES.values())}")
    return _DTYPES[code]


def is_float(dtype: str) -> bool:
    """Whether a kind of numbers, by its name, is a floating-point one."""
    return dtype in _FLOATS


def _claim(tensor: Any, name: str) -> tuple[int, str]:
    """How many numbers of which kind a tensor says that it has."""
    dtype = dtype_of(tensor.data_type, name)
    if any(n < 0 for n in tensor.dims):
        raise FormatError(f"{name} claims the shape {tuple(tensor.dims)}")
    return prod(tensor.dims), dtype


def _bfloat16(tensor: Any) -> Array:
    """The first halves of float32 numbers, as those; versions of onnx differ in what they make."""
    if tensor.HasField("raw_data"):
        halves = np.frombuffer(tensor.raw_data, dtype="<u2")
    else:
        halves = np.array(tensor.int32_data, dtype=np.uint16)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(tuple(tensor.dims))


def array_of(tensor: Any, name: str) -> Array:
    """A tensor as a read-only array, exactly; bfloat16 as float32.

    Parameters
    ----------
    tensor : onnx.TensorProto
    name : str
        For messages.

    Raises
    ------
    FormatError
        If its numbers are not in it, or not as many as it says.
    """
    onnx = package()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise FormatError(
            f"{name} keeps its numbers in another file; open the model with "
            "polyregions.load_model(path), or with onnx.load(path), which reads them too"
        )
    count, dtype = _claim(tensor, name)
    try:
        if dtype == "bfloat16":
            array = _bfloat16(tensor)
        else:
            array = np.array(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # whatever a damaged tensor provokes
        raise FormatError(f"{name} is damaged: {error}") from None
    if array.size != count or array.shape != tuple(tensor.dims):
        raise FormatError(f"{name} has {array.size} numbers, but says that it has {count}")
    array.flags.writeable = False
    return array
