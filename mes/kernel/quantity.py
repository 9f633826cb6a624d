"""Quantities: a decimal number and a unit of UNECE Recommendation 20, exact in both databases.

A number is held with 6 decimals up to 10^12 - 1; what cannot be represented is refused, never
rounded. Counted units are whole. Services calculate with `Quantity`; columns hold `Amount`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, Numeric, TypeDecorator
from sqlalchemy.types import TypeEngine

from cellwright.mes.kernel.errors import Detail, MesError

DECIMALS: Final = 6
LIMIT: Final = Decimal(10) ** 12
"""Amounts lie below it, and above its negative."""
_SCALE: Final = 10**DECIMALS
_DIGITS: Final = 40
"""Precision of sums and products; more than any two amounts need."""


class Dimension(StrEnum):
    """What a unit measures; amounts of one dimension can be converted into each other."""

    COUNT = "count"
    MASS = "mass"
    LENGTH = "length"
    AREA = "area"
    VOLUME = "volume"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class UnitOfMeasure:
    """A unit of UNECE Recommendation 20."""

    code: str
    """Common code, such as ``C62``."""
    symbol: str
    dimension: Dimension
    factor: Fraction
    """How many of the dimension's first unit one of it is."""

    @property
    def counted(self) -> bool:
        """True when only whole amounts exist."""
        return self.dimension is Dimension.COUNT


_POUND: Final = Fraction(45359237, 100000000)
_INCH: Final = Fraction(254, 10000)

UNITS: Final = {
    unit.code: unit
    for unit in (
        UnitOfMeasure("C62", "1", Dimension.COUNT, Fraction(1)),
        UnitOfMeasure("H87", "piece", Dimension.COUNT, Fraction(1)),
        UnitOfMeasure("EA", "each", Dimension.COUNT, Fraction(1)),
        UnitOfMeasure("NAR", "article", Dimension.COUNT, Fraction(1)),
        UnitOfMeasure("SET", "set", Dimension.COUNT, Fraction(1)),
        UnitOfMeasure("PR", "pair", Dimension.COUNT, Fraction(2)),
        UnitOfMeasure("DZN", "dozen", Dimension.COUNT, Fraction(12)),
        UnitOfMeasure("KGM", "kg", Dimension.MASS, Fraction(1)),
        UnitOfMeasure("GRM", "g", Dimension.MASS, Fraction(1, 1000)),
        UnitOfMeasure("MGM", "mg", Dimension.MASS, Fraction(1, 1_000_000)),
        UnitOfMeasure("TNE", "t", Dimension.MASS, Fraction(1000)),
        UnitOfMeasure("LBR", "lb", Dimension.MASS, _POUND),
        UnitOfMeasure("ONZ", "oz", Dimension.MASS, _POUND / 16),
        UnitOfMeasure("MTR", "m", Dimension.LENGTH, Fraction(1)),
        UnitOfMeasure("CMT", "cm", Dimension.LENGTH, Fraction(1, 100)),
        UnitOfMeasure("MMT", "mm", Dimension.LENGTH, Fraction(1, 1000)),
        UnitOfMeasure("KMT", "km", Dimension.LENGTH, Fraction(1000)),
        UnitOfMeasure("INH", "in", Dimension.LENGTH, _INCH),
        UnitOfMeasure("FOT", "ft", Dimension.LENGTH, _INCH * 12),
        UnitOfMeasure("MTK", "m2", Dimension.AREA, Fraction(1)),
        UnitOfMeasure("CMK", "cm2", Dimension.AREA, Fraction(1, 10_000)),
        UnitOfMeasure("MMK", "mm2", Dimension.AREA, Fraction(1, 1_000_000)),
        UnitOfMeasure("LTR", "l", Dimension.VOLUME, Fraction(1)),
        UnitOfMeasure("MLT", "ml", Dimension.VOLUME, Fraction(1, 1000)),
        UnitOfMeasure("MTQ", "m3", Dimension.VOLUME, Fraction(1000)),
        UnitOfMeasure("SEC", "s", Dimension.TIME, Fraction(1)),
        UnitOfMeasure("MIN", "min", Dimension.TIME, Fraction(60)),
        UnitOfMeasure("HUR", "h", Dimension.TIME, Fraction(3600)),
    )
}
"""The units that the MES knows, by their common code."""

EACH: Final = "C62"
"""One: the unit of parts that are counted."""


def unit(code: str, *, field: str = "unit") -> UnitOfMeasure:
    """The unit with that common code; raises MesError ``invalid_request`` that names ``field``."""
    found = UNITS.get(code)
    if found is None:
        known = ", ".join(UNITS)
        message = f"{code!r:.40} is not a unit known here; give one of {known}"
        raise MesError("invalid_request", f"{field}: {message}", [Detail(field, message)])
    return found


def amount(value: Decimal | int, code: str = EACH, *, field: str = "quantity") -> Decimal:
    """The number as a column of that unit holds it, without zeros at its end.

    Raises MesError ``invalid_request`` that names ``field`` when it is no finite number, has more
    than 6 decimals, reaches 10^12, or is not whole in a counted unit.
    """
    complaint = ""
    number = Decimal(value)
    counted = unit(code).counted
    if not number.is_finite():
        complaint = f"{value} is not a number"
    elif number and number.adjusted() >= LIMIT.adjusted():
        complaint = f"{number:.6E} is too large; it must lie below 10^12"
    elif number != (whole := _truncated(number, 0)) and counted:
        complaint = f"{_shown(number)} is not whole, and {code} is counted; give {whole:f}"
    elif number != _truncated(number, DECIMALS):
        complaint = f"{_shown(number)} has more than {DECIMALS} decimals; nothing is rounded here"
    if complaint:
        raise MesError("invalid_request", f"{field}: {complaint}", [Detail(field, complaint)])
    return plain(number)


def _truncated(number: Decimal, decimals: int) -> Decimal:
    if -number.as_tuple().exponent <= decimals:  # type: ignore[operator]  # finite here
        return number
    if number.adjusted() < -decimals:
        return Decimal(0)
    with localcontext(prec=_DIGITS):
        step = Decimal(1).scaleb(-decimals)
        return number.quantize(step, rounding="ROUND_DOWN")


def _shown(number: Decimal) -> str:
    return f"{number!s:.40}"


def plain(number: Decimal) -> Decimal:
    """The same number without an exponent and without zeros behind the point."""
    if not number:
        return Decimal(0)
    with localcontext(prec=_DIGITS):
        number = number.normalize()
        return number.quantize(Decimal(1)) if number.as_tuple().exponent > 0 else number  # type: ignore[operator]  # finite here


def text(number: Decimal) -> str:
    """The number as the audit and the doors write it: digits, point, no exponent."""
    return f"{plain(number):f}"


def shown(number: Decimal, code: str) -> int | Decimal:
    """The number as answers hold it: an integer for counted units, else a decimal."""
    return int(number) if unit(code).counted else plain(number)


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of a unit. Adding amounts of one dimension gives the left one's unit."""

    value: Decimal
    unit: str = EACH
    """Common code of UNECE Recommendation 20."""

    @classmethod
    def of(
        cls, value: Decimal | int | str, code: str = EACH, *, field: str = "quantity"
    ) -> Quantity:
        """A checked quantity; raises MesError ``invalid_request`` as `amount` does."""
        return cls(amount(Decimal(value), code, field=field), code)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity.of(self.value + other.converted(self.unit).value, self.unit)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity.of(self.value - other.converted(self.unit).value, self.unit)

    def converted(self, code: str, factor: Fraction | None = None) -> Quantity:
        """The same quantity in another unit.

        ``factor`` is how many of ``code`` one of this unit is, where a part says so; without it
        both must have one dimension. Raises MesError ``invalid_request`` when they have not, and
        when the result cannot be represented: nothing is ever rounded.
        """
        if code == self.unit:
            return self
        here, there = unit(self.unit), unit(code)
        if factor is None:
            if here.dimension is not there.dimension:
                raise MesError(
                    "invalid_request",
                    f"cannot convert {self} into {code}: {here.dimension} is not "
                    f"{there.dimension}; give the part a factor between them",
                )
            factor = here.factor / there.factor
        exact = Fraction(self.value) * factor
        scaled = exact * _SCALE
        if scaled.denominator != 1:
            raise MesError(
                "invalid_request",
                f"cannot convert {self} into {code}: the result has more than {DECIMALS} decimals, "
                "and nothing is rounded here",
            )
        with localcontext(prec=_DIGITS):
            return Quantity.of(Decimal(scaled.numerator).scaleb(-DECIMALS), code)

    def __str__(self) -> str:
        return f"{text(self.value)} {self.unit}"


class Amount(TypeDecorator[Decimal]):
    """A decimal column: NUMERIC(18, 6) on PostgreSQL, millionths as 64-bit integers on SQLite.

    Sums made in SQL are exact on both.
    """

    impl = Numeric(18, DECIMALS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(18, DECIMALS))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        number = Decimal(value)
        scaled = number.scaleb(DECIMALS) if number.is_finite() else number
        if not number.is_finite() or scaled != scaled.to_integral_value() or abs(number) >= LIMIT:
            raise ValueError(f"{value!r} does not fit into a column of {DECIMALS} decimals")
        return int(scaled) if dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        if dialect.name == "sqlite":
            with localcontext(prec=_DIGITS):
                return plain(Decimal(value).scaleb(-DECIMALS))
        return plain(value)
