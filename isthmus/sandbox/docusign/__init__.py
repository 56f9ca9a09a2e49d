"""Sandbox of DocuSign eSignature REST v2.1 with its account server (JWT grant, user info) and Connect.

Modelled from the vendor's published material (API reference, resource limits, Connect guides and sample messages, the
client library). It is not the vendor's software and is not certified by anyone. What could not be checked against a
published page is listed in :mod:`isthmus.sandbox.docusign.errors`.
"""

from isthmus.sandbox.docusign.service import DocusignSandbox

__all__ = ["DocusignSandbox", "sandbox"]


def sandbox() -> DocusignSandbox:
    """A fresh account without envelopes."""
    return DocusignSandbox()
