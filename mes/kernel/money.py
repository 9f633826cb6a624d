"""Money: a decimal number and a currency of ISO 4217, exact in both databases.

Rates are kept with 6 decimals, as `quantity.Amount` is; what is shown and billed is rounded once,
at the very end, to the cent (half away from zero).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from cellwright.mes.kernel.errors import Detail, MesError

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
CENT: Final = Decimal("0.01")
DEFAULT_CURRENCY: Final = "EUR"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of a currency. Amounts of different currencies are never added."""

    value: Decimal
    currency: str = DEFAULT_CURRENCY

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise MesError(
                "invalid_request",
                f"cannot add {other} to {self}: the currencies differ, and no rate is known here",
            )
        return Money(self.value + other.value, self.currency)

    def to_the_cent(self) -> Money:
        """Rounded half away from zero to two decimals."""
        return Money(self.value.quantize(CENT, rounding=ROUND_HALF_UP), self.currency)

    def __str__(self) -> str:
        return f"{self.value:f} {self.currency}"


def currency(code: str, *, field: str = "currency") -> str:
    """The code, if it looks like one of ISO 4217; raises MesError ``invalid_request``."""
    if not _CURRENCY.fullmatch(code):
        message = f"{code!r:.20} is not a currency; give three capital letters such as EUR"
        raise MesError("invalid_request", f"{field}: {message}", [Detail(field, message)])
    return code
