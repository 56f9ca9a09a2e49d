"""Avalara AvaTax as the tax engine."""

from isthmus.connectors.avalara.connector import Avalara as connector

__all__ = ["connector"]
