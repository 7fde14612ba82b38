"""The NNet text format (``.nnet``) of Julian (Stanford 2016), in which ACAS Xu is published.

After comments (``//``), line by line: the number of layers, inputs and outputs and the largest
width; the widths; a flag that is no longer used; the smallest and the largest value of each input;
the mean of each input and one for all outputs; the range of each input and one for all outputs.
Then, for each layer, one line for every row of its weight and one for every entry of its bias.

Writers and readers differ in details, and what is read here is what files in use hold: with or
without a comma at the end of a line; a first line of the number of layers alone; any text for the
flag; means and ranges without the value for the outputs; and a line that is just ``0`` in place of
any of the four lines of bounds, means and ranges, which stands for "none".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike, fspath

import numpy as np

from polyregions.errors import FormatError
from polyregions.network import FloatArray, exact_float64

# Size beyond which a file is refused: some twenty million numbers.
MAX_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class NNet:
    """A network as a ``.nnet`` file describes it: ``layers((x - mean) / range) * range + mean``.

    Attributes
    ----------
    weights : tuple of (out, in) float64
    biases : tuple of (out,) float64
    means, ranges : (n + 1,) float64
        Of every input, and last those of all outputs. What the file does not normalise has mean 0
        and range 1.
    input_min, input_max : (n,) float64
        The values that the network was trained on; -inf and inf where the file has none. The
        format's own evaluation clips inputs to these bounds; see `polyregions.lower`.
    flag : str
        The unused fourth line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from polyregions.formats import nnet
    >>> text = "2,2,1,2,\\n2,2,1,\\n0,\\n-1,-1,\\n1,1,\\n0,0,5,\\n2,2,8,\\n"
    >>> text += "1,0,\\n0,1,\\n0,\\n0,\\n1,1,\\n0.5,\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "net.nnet")
    ...     _ = path.write_text(text)
    ...     model = nnet.read(path)
    >>> model
    <NNet 2-2-1>
    >>> model.ranges
    array([2., 2., 8.])
    """

    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    means: FloatArray
    ranges: FloatArray
    input_min: FloatArray
    input_max: FloatArray
    flag: str = "0"

    @property
    def n_inputs(self) -> int:
        return int(self.weights[0].shape[1])

    def __repr__(self) -> str:
        widths = [self.n_inputs, *map(len, self.biases)]
        return f"<NNet {'-'.join(map(str, widths))}>"


def read(path: str | PathLike[str]) -> NNet:
    """Read a ``.nnet`` file.

    Raises
    ------
    FormatError
        If the file is damaged, too large or not of this format; the message says in which line.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise FormatError(f"{fspath(path)} has more than {MAX_BYTES} bytes; it is not opened")
    return _Lines(data, fspath(path)).network()


class _Lines:
    """The lines of a file that are not comments, taken one after the other."""

    def __init__(self, data: bytes, where: str) -> None:
        self._where = where
        self._size = len(data)
        # Comments may be in any encoding; numbers are ASCII, and what is not will be no number.
        text = data.removeprefix(b"\xef\xbb\xbf").decode("ascii", errors="replace")
        self._lines = _numbered(text)
        self._at = 0

    def network(self) -> NNet:
        widths = self._widths()
        flag = self._next("the flag that is no longer used")
        n = widths[0]
        low = self._header("the smallest value of each input", (n,), is_bound=True)
        high = self._header("the largest value of each input", (n,), is_bound=True)
        if not (low.any() or high.any()):
            low, high = np.full(n, -np.inf), np.full(n, np.inf)
        means = self._header("the mean of each input and of all outputs", (n + 1, n))
        ranges = self._header("the range of each input and of all outputs", (n + 1, n))
        ranges = self._ranges(means, ranges)
        weights, biases = [], []
        for i, (before, width) in enumerate(pairwise(widths), 1):
            of = f"of layer {i} of {len(widths) - 1}"
            weight, bias = np.empty((width, before)), np.empty((width, 1))
            for row in range(width):
                weight[row] = self._numbers(f"row {row + 1} of the weight {of}", (before,))
            for row in range(width):
                bias[row] = self._numbers(f"entry {row + 1} of the bias {of}", (1,))
            weights.append(exact_float64(weight, f"the weight {of}"))
            biases.append(exact_float64(bias[:, 0], f"the bias {of}"))
        rest = next(self._lines, None)
        if rest is not None:
            self._at, text = rest
            raise self._error(f"is left over behind the last bias: {_short(text)}")
        kept = (exact_float64(means, "the means"), exact_float64(ranges, "the ranges"))
        return NNet(tuple(weights), tuple(biases), *kept, _frozen(low), _frozen(high), flag)

    def _widths(self) -> list[int]:
        """The widths of all layers, the input first."""
        counts = self._integers("the number of layers (and of inputs and outputs)", range(1, 5))
        widths = self._integers("the width of the input and of every layer", [counts[0] + 1])
        for count, end, of in zip(counts[1:], (0, -1), ("inputs", "outputs"), strict=False):
            if count != widths[end]:
                raise self._error(f"speaks of {widths[end]} {of}, the line before it of {count}")
        # Every number takes a digit and what parts it from the next.
        if sum(m * (n + 1) for n, m in pairwise(widths)) * 2 > self._size + 1:
            raise self._error(
                f"speaks of more weights than the {self._size} bytes of the file can hold; it is "
                "cut short or damaged"
            )
        return widths

    def _header(self, what: str, lengths: Sequence[int], *, is_bound: bool = False) -> FloatArray:
        """The values of a header line; 0 in place of those that it leaves out."""
        values = self._numbers(what, lengths, is_bound=is_bound, may_be_zero=True)
        return np.concatenate([values, np.zeros(lengths[0] - len(values))])

    def _ranges(self, means: FloatArray, ranges: FloatArray) -> FloatArray:
        """The ranges, with 1 for what is not normalised: its mean and range are 0 or left out."""
        wrong = (ranges == 0) & (means != 0)
        if wrong.any():
            i = int(np.argmax(wrong))
            of = f"input {i + 1}" if i < len(means) - 1 else "the outputs"
            raise self._error(
                f"holds no range, or one of 0, for {of}, whose mean is {means[i]:g}. Mean and "
                "range may be 0 together, which stands for no normalisation"
            )
        return np.where(ranges == 0, 1.0, ranges)

    def _next(self, what: str) -> str:
        found = next(self._lines, None)
        if found is None:
            raise FormatError(
                f"{self._where} ends behind line {self._at}, where {what} should follow"
            )
        self._at, text = found
        return text

    def _fields(self, what: str, lengths: Sequence[int], *, may_be_zero: bool = False) -> list[str]:
        line = self._next(what).removesuffix(",")
        n = line.count(",") + 1  # before any memory is spent on them
        if n in lengths:
            return line.split(",")
        if may_be_zero and n == 1 and line.strip() in ("0", "0.0"):
            return []
        wanted = " or ".join(map(str, lengths)) if len(lengths) < 3 else f"1 to {max(lengths)}"
        raise self._error(
            f"must hold {what}, {wanted} {'value' if wanted == '1' else 'values'}"
            f"{', or 0 for none' if may_be_zero else ''}; it holds {n}"
        )

    def _integers(self, what: str, lengths: Sequence[int]) -> list[int]:
        numbers = []
        for field in self._fields(what, lengths):
            digits = field.strip()
            if not digits.isdecimal() or len(digits) > 9 or int(digits) < 1:
                raise self._error(
                    f"must hold {what}, as positive integers; it holds {_short(digits)}"
                )
            numbers.append(int(digits))
        return numbers

    def _numbers(
        self,
        what: str,
        lengths: Sequence[int],
        *,
        is_bound: bool = False,
        may_be_zero: bool = False,
    ) -> FloatArray:
        fields = self._fields(what, lengths, may_be_zero=may_be_zero)
        numbers: FloatArray = np.empty(len(fields))
        for i, field in enumerate(fields):
            try:
                number = np.nan if "_" in field else float(field)
            except ValueError:
                number = np.nan
            if np.isnan(number) or (np.isinf(number) and not is_bound):
                raise self._error(f"must hold {what}, as finite numbers; it holds {_short(field)}")
            numbers[i] = number
        return numbers

    def _error(self, problem: str) -> FormatError:
        return FormatError(f"line {self._at} of {self._where} {problem}")


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are neither blank nor comments, with their numbers from 1."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(unix.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("//"):
            yield number, stripped


def _frozen(values: FloatArray) -> FloatArray:
    values.flags.writeable = False
    return values


def _short(value: object) -> str:
    """What came, in a message, however long it is."""
    text = str(value)
    return repr(text if len(text) <= 40 else text[:40] + " ...")
