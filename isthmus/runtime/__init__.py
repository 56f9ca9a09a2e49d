"""Durable runs: steps, the effect ledger, waits, parking, undo, inbox and outbox, the write gate, lanes, the fleet."""
