"""The published client of the Salesforce platform, simple-salesforce, at a sandbox served over TLS on loopback."""

from __future__ import annotations

from typing import Any

import requests
from simple_salesforce import Salesforce

from isthmus.sandbox import server


class ToLoopback(requests.adapters.HTTPAdapter):
    """Sends what is meant for the vendor's login host to the sandbox."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = self.url + request.path_url
        return super().send(request, *args, **kwargs)


def session(tls: server.Running) -> requests.Session:
    """A session that trusts the sandbox's own authority and nothing of the environment."""
    made = requests.Session()
    made.trust_env = False  # or a bundle named in the environment would win over the sandbox's authority
    made.verify = str(tls.ca_file)
    made.mount("https://login.salesforce.com", ToLoopback(tls.url))
    return made


def published_client(tls: server.Running, **changes: str) -> Salesforce:
    """Signed in by JWT as the sandbox's own user; changes replace what it signs in with."""
    carried = session(tls)
    given = tls.sandbox.credentials()
    login = {"username": given["username"], "consumer_key": given["consumer_key"], **changes}
    made = Salesforce(privatekey=changes.pop("privatekey", given["private_key"]), session=carried, **login)
    # The client takes the host of the answer but drops the port.
    return Salesforce(instance_url=tls.url, session_id=made.session_id, session=carried, version="59.0")
