"""Engineering units: the symbols of the configuration and what OPC UA calls them.

The compiler looks a tag's unit up here, the OPC UA room fills ``EngineeringUnits`` from it. The
codes are those of UNECE Recommendation 20; this table is data and converts nothing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

UNECE_NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
"""``namespaceUri`` of an EUInformation whose ``unitId`` comes from a UNECE code (OPC 10000-8)."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: ``symbol`` as written in the configuration, ``code`` by UNECE Rec. 20."""

    symbol: str
    code: str
    display: str
    """Symbol for people (``°C`` where the configuration may say ``degC``)."""
    description: str

    @property
    def unit_id(self) -> int:
        """``EUInformation.unitId``: the code's characters as a big-endian number (OPC 10000-8)."""
        return int.from_bytes(self.code.encode("ascii"), "big")


class UnknownUnitError(ValueError):
    """A symbol that the table does not have; the sentence names the nearest ones."""


# symbol | UNECE code | display | description | further spellings
_TABLE: Final = """
1|C62||one|
%|P1|%|percent|
ppm|59|ppm|part per million|
m|MTR|m|metre|
km|KMT|km|kilometre|
dm|DMT|dm|decimetre|
cm|CMT|cm|centimetre|
mm|MMT|mm|millimetre|
um|4H|µm|micrometre|µm μm
nm|C45|nm|nanometre|
in|INH|in|inch|
ft|FOT|ft|foot|
yd|YRD|yd|yard|
m2|MTK|m²|square metre|m²
cm2|CMK|cm²|square centimetre|cm²
mm2|MMK|mm²|square millimetre|mm²
m3|MTQ|m³|cubic metre|m³
cm3|CMQ|cm³|cubic centimetre|cm³
mm3|MMQ|mm³|cubic millimetre|mm³
L|LTR|l|litre|l
mL|MLT|ml|millilitre|ml
hL|HLT|hl|hectolitre|hl
gal|GLL|gal (US)|gallon (US)|
s|SEC|s|second|
ms|C26|ms|millisecond|
us|B98|µs|microsecond|µs μs
ns|C47|ns|nanosecond|
min|MIN|min|minute|
h|HUR|h|hour|
d|DAY|d|day|
Hz|HTZ|Hz|hertz|
kHz|KHZ|kHz|kilohertz|
MHz|MHZ|MHz|megahertz|
rpm|RPM|r/min|revolutions per minute|r/min 1/min
1/s|C97|s⁻¹|reciprocal second|s-1
m/s|MTS|m/s|metre per second|
mm/s|C16|mm/s|millimetre per second|
m/min|2X|m/min|metre per minute|
km/h|KMH|km/h|kilometre per hour|
m/s2|MSK|m/s²|metre per second squared|m/s²
rad/s|2A|rad/s|radian per second|
deg|DD|°|degree (unit of angle)|°
rad|C81|rad|radian|
mrad|C25|mrad|milliradian|
kg|KGM|kg|kilogram|
g|GRM|g|gram|
mg|MGM|mg|milligram|
t|TNE|t|tonne (metric ton)|
lb|LBR|lb|pound|
oz|ONZ|oz|ounce (avoirdupois)|
kg/m3|KMQ|kg/m³|kilogram per cubic metre|kg/m³
g/cm3|23|g/cm³|gram per cubic centimetre|g/cm³
N|NEW|N|newton|
kN|B47|kN|kilonewton|
mN|C20|mN|millinewton|
Nm|NU|N·m|newton metre|N.m N·m
Pa|PAL|Pa|pascal|
hPa|A97|hPa|hectopascal|
kPa|KPA|kPa|kilopascal|
MPa|MPA|MPa|megapascal|
bar|BAR|bar|bar|
mbar|MBR|mbar|millibar|
psi|PS|lbf/in²|pound-force per square inch|
atm|ATM|atm|standard atmosphere|
K|KEL|K|kelvin|
degC|CEL|°C|degree Celsius|°C
degF|FAH|°F|degree Fahrenheit|°F
J|JOU|J|joule|
kJ|KJO|kJ|kilojoule|
MJ|3B|MJ|megajoule|
Wh|WHR|W·h|watt hour|
kWh|KWH|kW·h|kilowatt hour|
MWh|MWH|MW·h|megawatt hour|
W|WTT|W|watt|
kW|KWT|kW|kilowatt|
MW|MAW|MW|megawatt|
mW|C31|mW|milliwatt|
VA|D46|V·A|volt-ampere|
kVA|KVA|kV·A|kilovolt-ampere|
var|D44|var|var|
A|AMP|A|ampere|
mA|4K|mA|milliampere|
uA|B84|µA|microampere|µA μA
V|VLT|V|volt|
mV|2Z|mV|millivolt|
kV|KVT|kV|kilovolt|
Ohm|OHM|Ω|ohm|ohm Ω
kOhm|B49|kΩ|kiloohm|kΩ
MOhm|B75|MΩ|megaohm|MΩ
F|FAR|F|farad|
uF|4O|µF|microfarad|µF μF
nF|C41|nF|nanofarad|
H|81|H|henry|
mH|C14|mH|millihenry|
T|D33|T|tesla|
mT|C29|mT|millitesla|
C|COU|C|coulomb|
Ah|AMH|A·h|ampere hour|
S|SIE|S|siemens|
lx|LUX|lx|lux|
lm|LUM|lm|lumen|
cd|CDL|cd|candela|
cd/m2|A24|cd/m²|candela per square metre|cd/m²
dB|2N|dB|decibel|
mol|C34|mol|mole|
L/min|L2|l/min|litre per minute|l/min
m3/h|MQH|m³/h|cubic metre per hour|m³/h
m3/s|MQS|m³/s|cubic metre per second|m³/s
kg/s|KGS|kg/s|kilogram per second|
kg/h|E93|kg/h|kilogram per hour|
Pa.s|C65|Pa·s|pascal second|Pa·s
mPa.s|C24|mPa·s|millipascal second|mPa·s
pH|Q30|pH|pH (potential of hydrogen)|
bit|A99|bit|bit|
byte|AD|byte|byte|
"""


def _load() -> tuple[dict[str, Unit], dict[str, Unit]]:
    units: dict[str, Unit] = {}
    spellings: dict[str, Unit] = {}
    for line in _TABLE.strip().splitlines():
        symbol, code, display, description, others = line.split("|")
        unit = Unit(symbol, code, display, description)
        units[symbol] = unit
        for spelling in (symbol, *others.split()):
            spellings[spelling] = unit
    return units, spellings


_LOADED: Final = _load()
UNITS: Final[dict[str, Unit]] = _LOADED[0]
"""All units by the symbol of the configuration."""
_SPELLINGS: Final = _LOADED[1]


def lookup(symbol: str) -> Unit:
    """The unit of that symbol; case counts (``mW`` is not ``MW``). Raises UnknownUnitError."""
    unit = _SPELLINGS.get(symbol)
    if unit is None:
        raise UnknownUnitError(f"'{symbol}' is not a unit of the table; {_hint(symbol)}")
    return unit


def suggest(symbol: str, limit: int = 3) -> list[str]:
    """The nearest symbols, nearest first: by case, by name of the unit, then by spelling."""
    folded = symbol.casefold()
    near = [known for known in UNITS if known.casefold() == folded]
    near += [
        unit.symbol
        for unit in UNITS.values()
        if unit.description.casefold() in (folded, folded.removesuffix("s"))
        or folded in unit.description.casefold().split()
    ]
    descriptions = {unit.description.casefold(): unit.symbol for unit in UNITS.values()}
    near += [
        descriptions[name]
        for name in difflib.get_close_matches(folded, descriptions, n=limit, cutoff=0.8)
    ]
    near += difflib.get_close_matches(symbol, UNITS, n=limit, cutoff=0.5)
    return list(dict.fromkeys(near))[:limit]


def _hint(symbol: str) -> str:
    near = suggest(symbol)
    if near:
        return "did you mean " + " or ".join(f"'{known}'" for known in near) + "?"
    return "write one like 'mm', 'bar' or 'degC', or leave the unit out"
