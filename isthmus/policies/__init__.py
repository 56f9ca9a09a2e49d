"""Pure decisions: what is chargeable, at which rate, within which cap, ready when. No I/O, no clock."""
