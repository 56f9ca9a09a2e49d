"""The Salesforce platform: what every organisation on it has, whichever packages are installed there.

Modelled from the vendor's published material (REST API, SOQL, Bulk API 2.0, Change Data Capture and OAuth guides). It
is not the vendor's software and is not certified by anyone. What could not be checked against a published page is
listed in :mod:`isthmus.sandbox.platform.errors`.

A sandbox on it is an organisation of its own: own records, ids, sign-in and limits. It brings a
:class:`~isthmus.sandbox.platform.package.Package` with its objects and rules.
"""

from isthmus.sandbox.platform.box import PlatformSandbox
from isthmus.sandbox.platform.package import ObjectType, Package

__all__ = ["ObjectType", "Package", "PlatformSandbox"]
