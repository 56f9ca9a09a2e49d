"""What the hub itself does in a step: its own books, decided by policies, in one transaction."""
