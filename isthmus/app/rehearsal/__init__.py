"""A firm rehearses its own terms before go-live: a scenario in a file, played through the real processes."""

from isthmus.app.rehearsal.play import rehearse
from isthmus.app.rehearsal.script import Script, read_script

__all__ = ["Script", "read_script", "rehearse"]
