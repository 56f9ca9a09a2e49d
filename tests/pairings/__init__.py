"""The processes as they are, with one system in the place of another: real connectors, sandboxes over HTTP."""
