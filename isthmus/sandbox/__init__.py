"""Emulated vendor systems, one module or folder per vendor. They share nothing with the connectors."""
