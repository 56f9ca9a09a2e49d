"""The member states of the European Union since 2021, and what their VAT ids begin with."""

from __future__ import annotations

MEMBERS = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)
# Everybody writes the ISO code of the country, Greece writes EL.
VAT_PREFIXES = {country: "EL" if country == "GR" else country for country in sorted(MEMBERS)}
