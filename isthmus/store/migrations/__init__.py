"""The DDL that really runs, one revision per change of the schema. See isthmus.store.migrate."""
