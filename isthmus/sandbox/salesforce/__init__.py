"""Sandbox of the Salesforce platform REST API, with the CPQ objects and the firm's custom fields.

Modelled from the vendor's published material (REST API, SOQL, Bulk API 2.0, Change Data Capture and OAuth guides,
public package metadata). It is not the vendor's software and is not certified by anyone. What could not be checked
against a published page is listed in :mod:`isthmus.sandbox.salesforce.errors`.
"""

from isthmus.sandbox.salesforce.box import SalesforceSandbox

__all__ = ["SalesforceSandbox", "sandbox"]


def sandbox() -> SalesforceSandbox:
    """A fresh, empty organisation."""
    return SalesforceSandbox()
