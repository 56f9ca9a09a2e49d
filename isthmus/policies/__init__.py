"""Pure decisions: what is chargeable, at which rate, within which cap, ready when. No I/O, no clock.

A library of its own, usable without a database: docs/lookup/policies.md lists what each module decides.
"""
