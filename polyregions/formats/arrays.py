"""Named arrays in a zip archive (``.npz``), written reproducibly and read without trust.

`numpy.load` would allocate whatever size a file declares before it looks at the data, and leaves
damaged files to a dozen kinds of exceptions. Here every member's header is held against the size
of the member first, nothing is ever unpickled, and everything that can be wrong with a file is a
`FormatError`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from math import prod
from os import PathLike, fspath
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from polyregions.errors import FormatError

Arrays: TypeAlias = dict[str, NDArray[Any]]

# Unpacked size beyond which a file is refused; a small file can claim to unpack to anything.
MAX_BYTES = 1 << 32

# Booleans, integers, floats and text. Everything else needs Python objects or has no use here.
_KINDS = "biufU"


def write(path: str | PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to exactly `path`, compressed. Equal arrays make equal bytes.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            # A fixed date and system, so that the bytes say nothing of when and where.
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            data = io.BytesIO()
            npy.write_array(data, np.asarray(array), allow_pickle=False)
            archive.writestr(member, data.getbuffer())
    # In one go at the end: an error above leaves an older file as it is.
    with open(path, "wb") as file:
        file.write(buffer.getvalue())


def names(path: str | PathLike[str]) -> list[str] | None:
    """Names of the arrays in a file, unread; None if it is no zip archive.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except OSError:
        raise
    except Exception:  # zipfile raises many kinds for a damaged directory
        return None


def read(path: str | PathLike[str]) -> Arrays:
    """Read all arrays of a file, in the order in which it holds them.

    Raises
    ------
    FormatError
        If the file is not an archive of plain arrays, is damaged, or holds pickled objects.
    OSError
        If the file cannot be read.
    """
    where = fspath(path)
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:
            raise FormatError(
                f"{where} is not an .npz file, or is cut short: it is no readable zip archive"
            ) from error
        with archive:
            return _read_members(archive, where)


def read_one(path: str | PathLike[str]) -> NDArray[Any]:
    """Read an ``.npy`` file, with the same care.

    Raises
    ------
    FormatError
        If the file is no plain array, is damaged, or holds pickled objects.
    OSError
        If the file cannot be read.
    """
    where = fspath(path)
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        try:
            return _read_array(file, size)
        except FormatError as error:
            raise FormatError(f"{where}: the array {error}") from error
        except Exception as error:  # numpy raises many kinds for damaged data
            raise FormatError(f"{where} is not an .npy file, or is damaged") from error


def _read_members(archive: zipfile.ZipFile, where: str) -> Arrays:
    members = archive.infolist()
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise FormatError(
            f"{where} claims to unpack to more than {MAX_BYTES >> 30} GiB; it is not opened"
        )
    arrays: Arrays = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise FormatError(f"{where} is not an .npz file: its member {name!r} is no array")
        if name in arrays:
            raise FormatError(f"{where} is damaged: it holds {name!r} twice")
        try:
            with archive.open(member) as stream:
                arrays[name] = _read_array(stream, member.file_size)
        except FormatError as error:
            raise FormatError(f"{where}: the array {name!r} {error}") from error
        except Exception as error:  # zipfile, zlib and numpy raise many kinds for damaged data
            raise FormatError(f"{where} is damaged: the array {name!r} cannot be read") from error
    return arrays


def _read_array(stream: Any, size: int) -> NDArray[Any]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(stream)
    else:
        raise FormatError(f"has the unknown array format {version}")
    if dtype.hasobject:
        raise FormatError("holds pickled Python objects, which could run code; it is not opened")
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise FormatError(f"has dtype {dtype}; numbers or text were expected")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != size - stream.tell():
        raise FormatError(f"is damaged: its size is not that of shape {shape} and dtype {dtype}")
    data = stream.read()
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
