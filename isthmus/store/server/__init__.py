"""What keeps one embedded PostgreSQL server running. The way in is isthmus.store.embedded."""
