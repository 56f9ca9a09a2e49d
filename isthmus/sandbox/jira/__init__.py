"""Sandbox of a Jira Cloud site: issues, work logs, properties, JQL, and webhooks of administrators.

Modelled from the vendor's published material (API specification of version 3, guides on rate limits and webhooks). It
is not the vendor's software and is not certified by anyone. Answers are checked against the specification.

Not published and chosen here: the texts of most refusals; that logging work moves an issue's ``updated``, that a
property of a work log moves it in the list of updated ones, and that the work logs of a deleted issue are in that of
deleted ones; how many issues a page of a search may hold; the name of the secret in a webhook's registration; that a
removed address is 410. Not here: dynamic webhooks of apps, attachments, comments, boards, versions, permissions by
project, the anonymous caller.
"""

from isthmus.sandbox.jira.vendor import JiraSandbox

__all__ = ["JiraSandbox", "sandbox"]


def sandbox() -> JiraSandbox:
    """A fresh site with its people and two empty projects."""
    return JiraSandbox()
