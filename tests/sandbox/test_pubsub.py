"""The Pub/Sub API of the platform, driven by a client compiled from the vendor's own protocol file, plain and TLS."""

from __future__ import annotations

import importlib
import io
import json
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import grpc
import httpx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc_tools import protoc

from isthmus.sandbox.platform.protocol import MESSAGES
from isthmus.sandbox.server import Running, make, start
from tests.vendor_specs import specification

TOPIC = "/data/ContractChangeEvent"
LATEST, EARLIEST, CUSTOM = 0, 1, 2


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The vendor's messages and stubs, compiled here; skips without the file."""
    proto, out = specification("salesforce", "pubsub_api.proto"), tmp_path_factory.mktemp("pubsub")
    arguments = ["", f"-I{proto.parent}", f"--python_out={out}", f"--grpc_python_out={out}", proto.name]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(out))
    try:
        yield importlib.import_module("pubsub_api_pb2"), importlib.import_module("pubsub_api_pb2_grpc")
    finally:
        sys.path.remove(str(out))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def served(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = start(make("salesforce"), tls=request.param)
    yield running
    running.stop()


class Client:
    """A subscriber as the vendor's examples have it: asks for events, keeps the replay id of the last one."""

    def __init__(self, served: Running, compiled: Any) -> None:
        self.box: Any = served.sandbox
        self.box.reset()
        self.pb, stubs = compiled
        known = served.sandbox.credentials()
        secure, _, address = known["pubsub_url"].partition("://")
        if secure == "https":
            assert served.ca_file is not None
            trusted = grpc.ssl_channel_credentials(Path(served.ca_file).read_bytes())
            self.channel = grpc.secure_channel(address, trusted)
        else:
            self.channel = grpc.insecure_channel(address)
        self.stub = stubs.PubSubStub(self.channel)
        token = self.box.auth.token(_grant(known), "").body["access_token"]
        self.metadata = [("accesstoken", token), ("instanceurl", served.url), ("tenantid", known["organization_id"])]
        self.schemas: dict[str, Any] = {}

    def fetch(self, number: int = 10, preset: int = EARLIEST, replay_id: bytes = b"", topic: str = TOPIC) -> Any:
        return self.pb.FetchRequest(topic_name=topic, replay_preset=preset, replay_id=replay_id, num_requested=number)

    def subscribe(self, *requests: Any, seconds: float = 5.0) -> Iterator[Any]:
        """The answers, while the stream of requests stays open."""
        asked: queue.Queue[Any] = queue.Queue()
        for request in requests:
            asked.put(request)
        return iter(self.stub.Subscribe(iter(asked.get, None), metadata=self.metadata, timeout=seconds))

    def first(self, request: Any) -> Any:
        """What the first answer with events holds, read by its schema, and its replay id."""
        answer = next(self.subscribe(request))
        return [self.read(event) for event in answer.events], answer.latest_replay_id

    def read(self, event: Any) -> dict[str, Any]:
        if event.event.schema_id not in self.schemas:
            asked = self.pb.SchemaRequest(schema_id=event.event.schema_id)
            told = self.stub.GetSchema(asked, metadata=self.metadata)
            self.schemas[event.event.schema_id] = fastavro.parse_schema(json.loads(told.schema_json))
        read: Any = fastavro.schemaless_reader(
            io.BytesIO(event.event.payload), self.schemas[event.event.schema_id], None
        )
        return dict(read)


def _grant(known: dict[str, str]) -> bytes:
    secret = f"client_id={known['consumer_key']}&client_secret={known['consumer_secret']}"
    return f"grant_type=client_credentials&{secret}".encode()


@pytest.fixture
def client(served: Running, compiled: Any) -> Iterator[Client]:
    made = Client(served, compiled)
    yield made
    made.channel.close()


def contract(client: Client, number: str, **changes: Any) -> str:
    account = client.box.seed("Account", {"Name": f"Client {number}", "Client_No__c": number})
    terms = {"AccountId": account["Id"], "Contract_No__c": number, "Status": "Draft", "StartDate": "2026-03-01"}
    return str(client.box.seed("Contract", terms | changes)["Id"])


def code_of(raised: pytest.ExceptionInfo[Any]) -> tuple[str, str]:
    """(gRPC status, the vendor's code) of an error."""
    trailers = dict(raised.value.trailing_metadata())
    assert trailers["rpc-id"] in raised.value.details()
    return raised.value.code().name, trailers["error-code"].removeprefix("sfdc.platform.eventbus.grpc.")


def test_field_numbers_and_types_are_those_of_the_protocol(compiled: Any) -> None:
    theirs = compiled[0].DESCRIPTOR.message_types_by_name
    for name, message in MESSAGES.items():
        for field in message.DESCRIPTOR.fields:
            known = theirs[name].fields_by_name[field.name]
            kind = FieldDescriptor.TYPE_INT32 if known.type == FieldDescriptor.TYPE_ENUM else known.type
            assert (field.number, field.type, field.is_repeated) == (known.number, kind, known.is_repeated)


def test_a_change_comes_with_its_header_and_the_fields_that_changed(client: Client) -> None:
    record = contract(client, "K-1", Contract_No__c="K-1")
    client.box.seed("Contract", {"Id": record, "Status": "Activated"})
    (made, changed), _ = client.first(client.fetch())
    header = made["ChangeEventHeader"]
    assert (header["entityName"], header["recordIds"], header["changeType"]) == ("Contract", [record], "CREATE")
    assert (made["Contract_No__c"], made["Status"]) == ("K-1", "Draft")
    assert (changed["ChangeEventHeader"]["changeType"], changed["Status"]) == ("UPDATE", "Activated")
    assert changed["Contract_No__c"] is None, "an update holds what has changed, nothing else"
    [bits] = changed["ChangeEventHeader"]["changedFields"]
    names = [field["name"] for field in next(iter(client.schemas.values()))["fields"]]
    assert "Status" in {names[place] for place in range(len(names)) if int(bits, 16) >> place & 1}


def test_a_client_that_writes_is_named_as_the_origin(client: Client, served: Running) -> None:
    record = contract(client, "K-1")
    headers = {"Authorization": f"Bearer {client.metadata[0][1]}", "Sforce-Call-Options": "client=somebody"}
    trusted = httpx.create_ssl_context(verify=str(served.ca_file)) if served.ca_file else True
    path = f"{served.url}/services/data/v66.0/sobjects/Contract/{record}"
    body = {"PO_Number__c": "PO-7"}
    answer = httpx.patch(path, headers=headers, json=body, verify=trusted, trust_env=False)
    assert answer.status_code == 204, answer.text
    events, _ = client.first(client.fetch())
    origins = [event["ChangeEventHeader"]["changeOrigin"] for event in events]
    assert "client=somebody" in origins[-1] and "client=somebody" not in origins[0]


def test_reading_goes_on_after_a_replay_id_and_misses_nothing(client: Client) -> None:
    for n in range(5):
        contract(client, f"K-{n}")
    seen: list[str] = []
    position, preset = b"", EARLIEST
    for expected in (2, 2, 1):
        events, position = client.first(client.fetch(2, preset, position))
        preset = CUSTOM
        seen += [event["Contract_No__c"] for event in events]
        assert len(events) == expected
    assert seen == [f"K-{n}" for n in range(5)]


def test_more_is_delivered_only_as_it_is_asked_for(client: Client) -> None:
    for n in range(3):
        contract(client, f"K-{n}")
    answers = client.subscribe(client.fetch(1))
    answer = next(answers)
    assert (len(answer.events), answer.pending_num_requested) == (1, 0)
    asked: queue.Queue[Any] = queue.Queue()
    asked.put(client.fetch(1))
    stream = client.stub.Subscribe(iter(asked.get, None), metadata=client.metadata, timeout=60)
    next(stream)
    threading.Timer(0.1, asked.put, [client.fetch(5)]).start()
    assert len(next(stream).events) == 2


def test_the_tip_of_the_stream_is_silent_until_something_changes(client: Client) -> None:
    contract(client, "K-old")
    threading.Timer(0.3, contract, [client, "K-new"]).start()
    events, _ = client.first(client.fetch(preset=LATEST))
    assert [event["Contract_No__c"] for event in events] == ["K-new"]


def test_silence_is_broken_by_an_empty_answer_with_the_latest_replay_id(client: Client) -> None:
    contract(client, "K-1")
    _, latest = client.first(client.fetch())
    client.box.pubsub.keepalive_seconds = 0.1
    try:
        answer = next(client.subscribe(client.fetch(preset=LATEST)))
    finally:
        client.box.pubsub.keepalive_seconds = 270.0
    assert (len(answer.events), answer.latest_replay_id) == (0, latest)


def test_what_is_older_than_three_days_is_gone_and_said_so(client: Client) -> None:
    client.box._set_clock({"now": "2026-03-02T09:00:00Z"})
    client.metadata[0] = ("accesstoken", client.box.auth._issue()["access_token"])
    contract(client, "K-1")
    _, position = client.first(client.fetch())
    client.box._set_clock({"now": "2026-03-06T09:00:00Z"})
    client.metadata[0] = ("accesstoken", client.box.auth._issue()["access_token"])
    contract(client, "K-2")
    contract(client, "K-3")
    early = (1).to_bytes(8, "big")
    assert position != early
    with pytest.raises(grpc.RpcError) as raised:
        client.first(client.fetch(preset=CUSTOM, replay_id=early))
    assert code_of(raised) == ("INVALID_ARGUMENT", "subscription.fetch.replayid.corrupted")


@pytest.mark.parametrize(
    ("request_of", "told"),
    [
        (lambda c: c.fetch(0), ("INVALID_ARGUMENT", "subscription.fetch.requested.events.invalid")),
        (lambda c: c.fetch(101), ("INVALID_ARGUMENT", "subscription.fetch.requested.events.invalid")),
        (lambda c: c.fetch(preset=CUSTOM), ("INVALID_ARGUMENT", "subscription.fetch.replayid.validation.failed")),
        (lambda c: c.fetch(topic="/data/NoSuchChangeEvent"), ("NOT_FOUND", "topic.not.found")),
    ],
    ids=["none asked for", "too many", "no replay id", "no topic"],
)
def test_a_request_that_is_wrong_is_refused_by_its_code(client: Client, request_of: Any, told: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        client.first(request_of(client))
    assert code_of(raised) == told


def test_nobody_is_let_in_without_a_live_token_of_this_organisation(client: Client) -> None:
    good = list(client.metadata)
    for place, value in ((0, "00D!other"), (1, "https://other.example"), (2, "00Dother")):
        client.metadata = [*good]
        client.metadata[place] = (good[place][0], value)
        with pytest.raises(grpc.RpcError) as raised:
            client.stub.GetTopic(client.pb.TopicRequest(topic_name=TOPIC), metadata=client.metadata)
        assert code_of(raised) == ("UNAUTHENTICATED", "service.auth.error")
    client.metadata = good
    told = client.stub.GetTopic(client.pb.TopicRequest(topic_name=TOPIC), metadata=client.metadata)
    assert told.can_subscribe and told.schema_id and told.topic_name == TOPIC
