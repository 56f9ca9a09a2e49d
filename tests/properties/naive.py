"""What a contract should have been billed, worked out by somebody who has never seen the hub's policies.

Plain sums over entries in whole cents and minutes, with fractions, its own rounding, its own reading of the terms. It
imports nothing of isthmus; terms and entries come as dictionaries of plain values.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any


def half_away(value: Fraction) -> int:
    """To a whole number, halves away from zero."""
    size = (2 * abs(value).numerator + abs(value).denominator) // (2 * abs(value).denominator)
    return size if value >= 0 else -size


def toward_zero(value: Fraction) -> int:
    size = abs(value).numerator // abs(value).denominator
    return size if value >= 0 else -size


def minutes_of(ten_thousandths: int) -> Fraction:
    """Hours in ten-thousandths as minutes: those that stand for whole minutes are whole minutes."""
    exact = Fraction(ten_thousandths * 60, 10000)
    whole = half_away(exact)
    return Fraction(whole) if half_away(Fraction(whole * 10000, 60)) == ten_thousandths else exact


def stepped(minutes: Fraction, step: int, mode: str, least: int) -> Fraction:
    """Up, nearest or down to the step, after the least that is billed."""
    if not minutes:
        return minutes
    units = max(minutes, Fraction(least)) / step
    whole = units.numerator // units.denominator
    rest = units - whole
    up = rest > 0 if mode == "up" else rest >= Fraction(1, 2) if mode == "nearest" else False
    return max(Fraction((whole + (1 if up else 0)) * step), Fraction(least))


def rate_on(terms: dict[str, Any], role: str, day: int) -> Fraction:
    """Cents an hour of a role on a day of the month."""
    found = [r["cents"] for r in terms["rates"] if r["role"] == role and r["from"] <= day < r["to"]]
    assert len(found) == 1
    return Fraction(found[0])


Piece = tuple[dict[str, Any], Fraction, Fraction]


def pieces_of_day(terms: dict[str, Any], day_entries: list[dict[str, Any]]) -> list[Piece]:
    """(entry, minutes, multiplier) of a person's day, in the order of the entries' ids."""
    pieces: list[Piece] = []
    used = Fraction(0)
    for one in sorted(day_entries, key=lambda e: e["id"]):
        minutes = minutes_of(one["hours"])
        if terms["step"]:
            minutes = stepped(minutes, *terms["step"])
        if not terms["bands"]:
            pieces.append((one, minutes, Fraction(1)))
            continue
        left = minutes
        for end, multiplier in [(e * 60, m) for e, m in terms["bands"]]:
            take = min(left, max(Fraction(end) - used, Fraction(0)))
            if take:
                pieces.append((one, take, multiplier))
                used += take
                left -= take
        used += left  # beyond the last band: not billed
    return pieces


def worth(terms: dict[str, Any], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every billed piece with its net in cents, after the discount; one per payer."""
    days: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for one in entries:
        days.setdefault((one["person"], one["day"]), []).append(one)
    found = []
    for (_, day), of_day in days.items():
        counts: dict[str, int] = {}
        for one, minutes, multiplier in pieces_of_day(terms, of_day):
            rate = rate_on(terms, one["role"], day) * multiplier
            exact = Fraction(one["hours"], 10000) * rate
            if terms["step"] or terms["bands"]:
                exact = minutes * rate / 60
            gross = half_away(exact)
            net = gross - half_away(gross * terms["percent_off"] / 100)
            number = counts.get(one["id"], 0)
            counts[one["id"]] = number + 1
            name = one["id"] if number == 0 else f"{one['id']}~x{multiplier}"
            for payer, share in shares(terms, net):
                key = name if payer == "" else f"{name}@{payer}"
                found.append({**one, "key": key, "payer": payer, "net": share, "row": (one["role"], rate)})
    return found


def shares(terms: dict[str, Any], net: int) -> list[tuple[str, int]]:
    """Cut toward zero, the rest to the one who takes it."""
    if not terms["payers"]:
        return [("", net)]
    cut = [toward_zero(net * percent / 100) for _, percent in terms["payers"]]
    cut[terms["takes_rest"]] += net - sum(cut)
    return [(payer, amount) for (payer, _), amount in zip(terms["payers"], cut, strict=True)]


def billed(terms: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """By payer: what is asked for and what is held back, in cents, under the caps and the holdback."""
    room = [dict(cap) for cap in terms["caps"]]
    by_row: dict[tuple[str, Any], int] = {}
    for piece in sorted(worth(terms, entries), key=lambda p: (p["day"], p["approved"], p["key"])):
        allowed = piece["net"]
        binding = [cap for cap in room if cap["role"] in ("", piece["role"]) and cap["payer"] in ("", piece["payer"])]
        for cap in binding:
            allowed = min(allowed, max(cap["left"], 0))
        for cap in binding:
            cap["left"] -= allowed
        row = (piece["payer"], piece["row"])  # one line of an invoice: a role at a price
        by_row[row] = by_row.get(row, 0) + allowed
    totals: dict[str, tuple[int, int]] = {}
    for (payer, _), net in by_row.items():
        held = half_away(net * terms["holdback"] / 100)
        asked, kept = totals.get(payer, (0, 0))
        totals[payer] = (asked + net - held, kept + held)
    return {payer: amounts for payer, amounts in totals.items() if amounts != (0, 0)}
