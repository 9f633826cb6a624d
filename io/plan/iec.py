"""IEC 61131-3 elementary types as they lie in the process image.

Everything that needs the size, the alignment or the range of a type asks here: the layout
compiler, the programs' variables, the drivers and the OPC UA model.
"""

from __future__ import annotations

import math
import re
from enum import IntEnum
from typing import Final

import msgspec


class Code(IntEnum):
    """Elementary type (IEC 61131-3:2013, table 10); the numbers are shared with ``native/``."""

    BOOL = 1
    SINT = 2
    INT = 3
    DINT = 4
    LINT = 5
    USINT = 6
    UINT = 7
    UDINT = 8
    ULINT = 9
    REAL = 10
    LREAL = 11
    TIME = 12
    STRING = 13


#: Struct format characters; TIME is a signed 64-bit count of nanoseconds.
FORMAT: Final[dict[Code, str]] = {
    Code.BOOL: "?",
    Code.SINT: "b",
    Code.INT: "h",
    Code.DINT: "i",
    Code.LINT: "q",
    Code.USINT: "B",
    Code.UINT: "H",
    Code.UDINT: "I",
    Code.ULINT: "Q",
    Code.REAL: "f",
    Code.LREAL: "d",
    Code.TIME: "q",
}

SIZE: Final[dict[Code, int]] = {
    Code.BOOL: 1,
    Code.SINT: 1,
    Code.INT: 2,
    Code.DINT: 4,
    Code.LINT: 8,
    Code.USINT: 1,
    Code.UINT: 2,
    Code.UDINT: 4,
    Code.ULINT: 8,
    Code.REAL: 4,
    Code.LREAL: 8,
    Code.TIME: 8,
}

INTEGERS: Final = frozenset(
    {
        Code.SINT,
        Code.INT,
        Code.DINT,
        Code.LINT,
        Code.USINT,
        Code.UINT,
        Code.UDINT,
        Code.ULINT,
    }
)
REALS: Final = frozenset({Code.REAL, Code.LREAL})

REAL_END: Final = float(2**128 - 2**103)
"""The smallest number that does not round to a finite REAL (IEC 60559 binary32)."""

DEFAULT_STRING_LENGTH: Final = 80
"""Length of a STRING without a declared one (the usual default of IEC tools)."""

MAX_STRING_LENGTH: Final = 1024
MAX_ARRAY_LENGTH: Final = 4096

OTHER_NAMES: Final = {
    "FLOAT": "REAL",
    "FLOAT32": "REAL",
    "SINGLE": "REAL",
    "DOUBLE": "LREAL",
    "FLOAT64": "LREAL",
    "BIT": "BOOL",
    "BYTE": "USINT",
    "UINT8": "USINT",
    "INT8": "SINT",
    "WORD": "UINT",
    "UINT16": "UINT",
    "INT16": "INT",
    "SHORT": "INT",
    "INTEGER": "INT",
    "DWORD": "UDINT",
    "UINT32": "UDINT",
    "INT32": "DINT",
    "LONG": "DINT",
    "LWORD": "ULINT",
    "UINT64": "ULINT",
    "INT64": "LINT",
    "STR": "STRING(80)",
    "TEXT": "STRING(80)",
    "WSTRING": "STRING(80)",
    "CHAR": "STRING(1)",
    "DURATION": "TIME",
}
"""What other tools call the types, to what they are here."""

Scalar = bool | int | float | str
Value = Scalar | list[Scalar]
"""What a tag's value is in Python: TIME is an int of nanoseconds, an array a list."""

_SPELLING = re.compile(
    r"""^\s*
    (?:ARRAY\s*\[\s*(?P<low>\d+)\s*\.\.\s*(?P<high>\d+)\s*\]\s*OF\s+)?
    (?P<name>[A-Z]+)
    (?:\s*[\(\[]\s*(?P<length>\d+)\s*[\)\]])?
    \s*$""",
    re.VERBOSE | re.IGNORECASE,
)


def meant(text: str) -> str | None:
    """The type in our words when ``text`` is one in another tool's (``FLOAT[5]`` is none)."""
    head, array, name = text.upper().rpartition(" OF ")
    known = OTHER_NAMES.get(name.strip())
    return None if known is None else f"{head}{array}{known}"


def _names() -> str:
    return ", ".join(code.name for code in Code)


class TagType(msgspec.Struct, frozen=True):
    """One elementary type, or a one-dimensional array of it.

    ``length`` is the largest number of UTF-8 bytes of a STRING (0 for other types); ``count`` is
    the number of elements, 1 for a scalar; ``is_array`` tells an array of one from a scalar.
    """

    code: Code
    length: int = 0
    count: int = 1
    is_array: bool = False

    @property
    def item_size(self) -> int:
        """Bytes of one element. A STRING is a 16-bit length and ``length`` bytes, padded to 2."""
        if self.code is Code.STRING:
            return 2 + self.length + (self.length & 1)
        return SIZE[self.code]

    @property
    def size(self) -> int:
        """Bytes in the image."""
        return self.item_size * self.count

    @property
    def alignment(self) -> int:
        """Byte boundary on which a value of this type must lie."""
        return 2 if self.code is Code.STRING else SIZE[self.code]

    @property
    def initial(self) -> Value:
        """The standard's default initial value: zero, FALSE or the empty string."""
        zero: Scalar
        if self.code is Code.BOOL:
            zero = False
        elif self.code is Code.STRING:
            zero = ""
        elif self.code in REALS:
            zero = 0.0
        else:
            zero = 0
        return [zero] * self.count if self.is_array else zero

    def __str__(self) -> str:
        name = f"STRING({self.length})" if self.code is Code.STRING else self.code.name
        return f"ARRAY[0..{self.count - 1}] OF {name}" if self.is_array else name

    @classmethod
    def parse(cls, text: str) -> TagType:
        """``BOOL``, ``STRING(20)``, ``ARRAY[0..9] OF REAL``; raises ValueError with a remedy."""
        match = _SPELLING.match(text)
        if match is None:
            raise ValueError(
                f"'{text}' is not a type; write one of {_names()}, STRING(n) or ARRAY[0..n] OF type"
            )
        name = match["name"].upper()
        if name not in Code.__members__:
            raise ValueError(
                f"'{match['name']}' is not an IEC 61131-3 type here; use one of {_names()}"
            )
        code = Code[name]
        if match["length"] is not None and code is not Code.STRING:
            raise ValueError(
                f"only STRING takes a length; write {name} without ({match['length']})"
            )
        length = 0
        if code is Code.STRING:
            length = int(match["length"]) if match["length"] else DEFAULT_STRING_LENGTH
            if not 1 <= length <= MAX_STRING_LENGTH:
                raise ValueError(f"a STRING holds 1 to {MAX_STRING_LENGTH} bytes, not {length}")
        if match["low"] is None:
            return cls(code, length)
        low, high = int(match["low"]), int(match["high"])
        if low != 0:
            raise ValueError(f"array bounds start at 0 here; write ARRAY[0..{high - low}]")
        if not 0 <= high < MAX_ARRAY_LENGTH:
            raise ValueError(f"an array holds 1 to {MAX_ARRAY_LENGTH} elements, not {high + 1}")
        return cls(code, length, high + 1, is_array=True)

    def check(self, value: object) -> Value:
        """Return ``value`` as this type holds it, or raise ValueError that says what it holds."""
        if not self.is_array:
            return self._check_scalar(value)
        if not isinstance(value, list | tuple):
            raise ValueError(f"{self} takes a list of {self.count} values, not {value!r}")
        if len(value) != self.count:
            raise ValueError(f"{self} takes {self.count} values, not {len(value)}")
        return [self._check_scalar(item) for item in value]

    def _check_scalar(self, value: object) -> Scalar:
        code = self.code
        if code is Code.BOOL:
            if isinstance(value, bool):
                return value
            if value in (0, 1):
                return bool(value)
        elif code is Code.STRING:
            if isinstance(value, str):
                size = len(value.encode())
                if size > self.length:
                    raise ValueError(f"{self} holds {self.length} bytes, {value!r} needs {size}")
                return value
        elif isinstance(value, bool):
            pass
        elif code in REALS:
            if isinstance(value, int | float):
                return self._check_real(value)
        elif isinstance(value, int):
            low, high = integer_range(code)
            if not low <= value <= high:
                raise ValueError(f"{code.name} holds {low} to {high}, not {value}")
            return value
        raise ValueError(f"{self} does not take {value!r} ({type(value).__name__})")

    def _check_real(self, value: float) -> float:
        """Infinity and NaN are values of both types; a finite number beyond the largest is not."""
        try:
            number = float(value)
        except OverflowError:
            raise ValueError(f"{self.code.name} does not hold so large a number") from None
        if self.code is Code.REAL and abs(number) >= REAL_END and math.isfinite(number):
            raise ValueError(f"REAL does not hold {number:g}, it ends at 3.4028235e38")
        return number


def integer_range(code: Code) -> tuple[int, int]:
    """Smallest and largest value of an integer type or of TIME (nanoseconds)."""
    bits = SIZE[code] * 8
    if FORMAT[code].isupper():
        return 0, (1 << bits) - 1
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def clip(text: str, size: int) -> str:
    """``text`` cut to at most ``size`` UTF-8 bytes, ending in ``...`` when it was longer."""
    data = text.encode()
    if len(data) <= size:
        return text
    return data[: size - 3].decode(errors="ignore") + "..."
