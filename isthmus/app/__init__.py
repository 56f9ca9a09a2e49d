"""Composition root: the firm folder, bootstrap, worker, CLI and HTTP APIs."""
