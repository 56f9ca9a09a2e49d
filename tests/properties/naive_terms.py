"""What fees, quotas, tiers, commitments, deposits and taxes come to, by somebody who has never seen the hub's policies.

As naive.py: whole cents and fractions, its own calendar of three months, its own reading of the terms, nothing of
isthmus. Days are (month, day) of March to May 2026; everything is asked at the end of May.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.properties.naive import half_away, shares, toward_zero, worth

DAYS = {3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31, 13: 31, 14: 28}
LAST_MONTH = 5
CLIENT = "C-1"  # who pays what names no payer
NEVER = "~"  # what needs no approval comes after what was approved, on the same day
Piece = dict[str, Any]


def fee(line: str, name: str, month: int, day: int, net: int, *, label: str, price: Any, **more: Any) -> Piece:
    """Evidence that no entry brings, of a line without payers."""
    key = f"K-1/{line}/{name}"
    facts = {"line": line, "key": key, "day": (month, day), "approved": NEVER, "net": net, "payer": "", "role": ""}
    return {**facts, "row": (line, label, price), **more}


def part_of_months(amount: int, first: int, months: int, start_day: int, end: tuple[int, int] | None) -> Fraction:
    """By days: what of whole calendar months from first on the term covers. The term begins in March on start_day."""
    whole = sum(DAYS[m] for m in range(first, first + months))
    begins = start_day if first == 3 else 1
    covered = whole - (begins - 1)
    if end and end[0] < first + months:
        covered -= DAYS[end[0]] - end[1] + sum(DAYS[m] for m in range(end[0] + 1, first + months))
    return Fraction(amount * covered, whole)


def begun(every: int, end: tuple[int, int] | None) -> list[int]:
    """The months in which periods begin, until the end of May."""
    return [m for m in range(3, LAST_MONTH + 1, every) if not end or m <= end[0]]


def last_of(first: int, every: int, end: tuple[int, int] | None) -> tuple[int, int]:
    """The last day of a period, or of the term within it."""
    whole = (first + every - 1, DAYS[first + every - 1])
    return min(whole, end) if end else whole


# -- fees ------------------------------------------------------------------------------------------------------------


def milestones(terms: dict[str, Any]) -> list[Piece]:
    """Percentages of the price, the last one takes the rest; only what is accepted."""
    amounts = [half_away(terms["price"] * percent / 100) for percent in terms["percents"][:-1]]
    amounts.append(terms["price"] - sum(amounts))
    return [
        fee("M", f"M{n}", *terms["accepted"][n], amounts[n - 1], label=f"Part {n}", price=amounts[n - 1])
        for n in sorted(terms["accepted"])
    ]


def progress(terms: dict[str, Any]) -> list[Piece]:
    """The last report of the price, all at once."""
    if not terms["reports"]:
        return []
    month, day, percent = terms["reports"][-1]
    net = half_away(terms["price"] * percent / 100)
    return [fee("P", "percent", month, day, net, label="progress", price=net, approved=f"2026-{month:02}-{day:02}T12")]


def subscription(terms: dict[str, Any]) -> list[Piece]:
    found = []
    for month in begun(terms["every"], terms["end"]):
        share = half_away(part_of_months(terms["amount"], month, terms["every"], terms["start"], terms["end"]))
        day = terms["start"] if month == 3 else 1
        found.append(
            fee("S", label(month, terms["every"], "subscription"), month, day, share, label=f"S {month}", price=share)
        )
    return found


def label(month: int, every: int, what: str) -> str:
    """2026-03 for a month, 2026-03/2026-05 for more, as periods are named."""
    names = [f"{2026 + (m - 1) // 12}-{(m - 1) % 12 + 1:02}" for m in (month, month + every - 1)]
    return f"{names[0] if every == 1 else '/'.join(names)}:{what}"


def usage(records: list[dict[str, Any]]) -> list[Piece]:
    """Quantity in ten-thousandths at a price in millionths of a cent's hundred, or what the engine says."""
    found = []
    for record in records:
        exact = Fraction(record["quantity"], 10000) * record["price"]
        net = half_away(exact) if record["amount"] is None else record["amount"]
        month = record["month"]
        found.append(
            fee("U", f"meter:{record['id']}", month, DAYS[month], net, label=f"U {record['id']}", price=record["price"])
        )
    return found


# -- a quota of hours ------------------------------------------------------------------------------------------------


def retainer(terms: dict[str, Any]) -> list[Piece]:
    """Month by month with a list of what waits: [month, hours, cents an hour], oldest first."""
    waiting: list[list[Any]] = []
    found = []
    for month in range(3, LAST_MONTH + 1):
        if terms["end"] and month > terms["end"][0]:
            break
        quota = half_away(part_of_months(terms["quota"], month, 1, terms["start"], terms["end"]))
        asked = half_away(part_of_months(terms["fee"], month, 1, terms["start"], terms["end"]))
        hours = terms["used"].get(month, 0)
        own = [month, quota, Fraction(asked, quota) if quota else Fraction(0)]
        for lot in [*waiting, own]:
            taken = min(lot[1], hours)
            lot[1] -= taken
            hours -= taken
        name = f"2026-{month:02}"
        if asked:
            found.append(fee("R", f"{name}:fee", month, 1, asked, label=f"R {name}", price=asked))
        if hours:
            over = half_away(Fraction(hours * terms["overage"], 10000))
            facts = {"label": f"R {name} beyond", "price": terms["overage"]}
            found.append(fee("R", f"{name}:overage", month, DAYS[month], over, **facts))
        is_last = terms["end"] is not None and month == terms["end"][0]
        waiting = [] if is_last else [lot for lot in waiting if lot[0] + terms["periods"] > month and lot[1]]
        if terms["rollover"] == "credit" and own[1]:
            back = half_away(own[1] * own[2])
            if back:
                found.append(fee("R", f"{name}:credit", month, DAYS[month], -back, label=f"R {name} back", price=-back))
        elif terms["rollover"] == "capped" and not is_last:
            room = max(terms["most"] - sum(lot[1] for lot in waiting), 0)
            waiting.append([month, min(own[1], room), own[2]])
    return found


# -- time ------------------------------------------------------------------------------------------------------------


def time_and_what_hangs_on_it(terms: dict[str, Any], entries: list[dict[str, Any]]) -> list[Piece]:
    """Hours of March on line L1, the tiers' discount on all of it, and what is missing of the least."""
    pieces = [
        {
            **p,
            "line": "L1",
            "day": (3, p["day"]),
            "approved": f"2026-03-01T12:{p['approved']:06}",
            "row": ("L1", *p["row"]),
        }
        for p in worth(terms, entries)
    ]
    for piece in pieces:
        piece["key"] = f"psa:{piece['key']}"
    total = sum(piece["net"] for piece in pieces)
    hanging: list[tuple[str, int, int, int]] = []
    if terms["tiers"] and entries:
        off = half_away(tiered(terms["tiers"], terms["tier_kind"], total))
        if off:
            hanging.append(("volume", 3, max(e["day"] for e in entries), -off))
            total -= off
    least = terms["least"]
    if least:
        for month in begun(least["every"], None):
            month_end = last_of(month, least["every"], None)
            if month_end <= (LAST_MONTH, DAYS[LAST_MONTH]):
                floor = half_away(part_of_months(least["amount"], month, least["every"], least["start"], None))
                used = sum(p["net"] for p in pieces if month == 3 and p["day"] >= (3, least["start"]))
                used += sum(
                    net for _, m, day, net in hanging if month == 3 and (m, day) >= (3, least["start"]) and net < 0
                )
                if floor > used:
                    hanging.append((label(month, least["every"], "commitment"), *month_end, floor - used))
    for name, month, day, net in hanging:
        for payer, share in shares(terms, net):
            key = f"K-1/L1/{name}" + (f"@{payer}" if payer else "")
            facts = {"line": "L1", "role": "", "payer": payer, "net": share, "day": (month, day), "approved": NEVER}
            pieces.append({**facts, "key": key, "row": ("L1", name, net)})
    return pieces


def tiered(tiers: list[tuple[int, Fraction]], kind: str, total: int) -> Fraction:
    """prospective: each percentage on what lies within its tier; retroactive: the one reached, on everything."""
    if kind == "retroactive":
        reached = [percent for start, percent in tiers if total >= start]
        return total * reached[-1] / 100 if reached else Fraction(0)
    off = Fraction(0)
    for n, (start, percent) in enumerate(tiers):
        end = tiers[n + 1][0] if n + 1 < len(tiers) else max(total, start)
        off += max(min(total, end) - start, 0) * percent / 100
    return off


def cost_plus(terms: dict[str, Any], entries: list[dict[str, Any]]) -> list[Piece]:
    """Hours at cost and markup, the rate to a millionth of the currency's main unit."""
    found = []
    for one in entries:
        exact = Fraction(one["cost"]) * (100 + terms["percent"]) / 100 / terms["scale"]
        rate = Fraction(half_away(exact * 10**6), 10**6) * terms["scale"]
        net = half_away(Fraction(one["hours"], 10000) * rate)
        facts = {"line": "C", "key": f"psa:{one['id']}", "day": (3, one["day"]), "role": one["role"], "payer": ""}
        found.append(
            {**facts, "approved": f"2026-03-01T12:{one['approved']:06}", "net": net, "row": ("C", one["role"], rate)}
        )
    return found


# -- invoices --------------------------------------------------------------------------------------------------------


def invoices(terms: dict[str, Any], pieces: list[Piece]) -> dict[str, tuple[int, int, int, int]]:
    """By payer: net asked for, held back, tax, and paid from an advance, in cents; under the caps, line by line."""
    rows: dict[tuple[str, Any], int] = {}
    for piece, allowed in under_caps(terms["caps"], pieces):
        row = (piece["payer"] or CLIENT, piece["row"])
        rows[row] = rows.get(row, 0) + allowed
    lots = [left for left, last in terms["lots"] if last is None or last >= (LAST_MONTH, DAYS[LAST_MONTH])]
    left = sum(lots) if terms["deposit"] else 0
    found: dict[str, tuple[int, int, int, int]] = {}
    for payer in sorted({payer for payer, _ in rows}):
        nets, held = [], 0
        for (whose, (line, *_)), net in rows.items():
            if whose == payer:
                kept = half_away(net * terms["held"].get(line, Fraction(0)) / 100)
                nets.append((line, net - kept))
                held += kept
        nets.sort(key=lambda pair: pair[0])
        taken = min(left, max(sum(net for line, net in nets if line == "L1"), 0))
        if payer != CLIENT:  # the deposit is the client's
            taken = 0
        if terms["deposit"] == "tax_deposit" and taken:  # a line of its own, taxed like the others
            nets.append(("deposit", -taken))
            left -= taken
        taxes = taxes_of([net for _, net in nets], terms["tax"], terms["tax_by"])
        asked, tax, paid = sum(net for _, net in nets), sum(taxes), 0
        if terms["deposit"] == "cash_advance" and payer == CLIENT:
            own = sum(net + tax for (line, net), tax in zip(nets, taxes, strict=True) if line == "L1")
            paid = min(left, max(min(own, asked + tax), 0))
            left -= paid
        found[payer] = (asked, held, tax, paid)
    return {payer: amounts for payer, amounts in found.items() if any(amounts)}


def under_caps(caps: list[dict[str, Any]], pieces: list[Piece]) -> list[tuple[Piece, int]]:
    """What of each piece is within its caps. What takes off goes first and makes room, whatever its day."""
    room = [dict(cap) for cap in caps]
    found = []
    for piece in sorted(pieces, key=lambda p: (p["net"] >= 0, p["day"], p["approved"], p["key"])):
        facts = {"line": piece["line"], "role": piece["role"], "payer": piece["payer"] or CLIENT}
        binding = [c for c in room if all(c[name] in ("", fact) for name, fact in facts.items())]
        allowed = min([piece["net"], *(max(cap["left"], 0) for cap in binding)])
        for cap in binding:
            cap["left"] -= allowed
        found.append((piece, allowed))
    return found


def taxes_of(nets: list[int], rate: Fraction, by: str) -> list[int]:
    """Line by line, or on the sum: then each line's share is cut toward zero, and the cents that are missing go to the
    lines that lost most by the cut, the first of equals first.
    """
    if by == "line":
        return [half_away(net * rate) for net in nets]
    tax = half_away(sum(nets) * rate)
    exact = [net * rate for net in nets]
    cut = [toward_zero(share) for share in exact]
    missing = tax - sum(cut)
    step = 1 if missing > 0 else -1
    losers = sorted(range(len(nets)), key=lambda n: (-step * (exact[n] - cut[n]), n))
    for n in losers[: abs(missing)]:
        cut[n] += step
    return cut
