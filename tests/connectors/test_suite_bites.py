"""The conformance suite notices what it is for: the template's connector, broken in one place at a time."""

from __future__ import annotations

import itertools
import logging
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.app.conformance import doubt, suite
from isthmus.app.conformance.bench import Bench
from isthmus.app.connecting.new import write
from isthmus.domain.errors import NeedsSetup

_NUMBERS = itertools.count(1)


def toy(folder: Path, file: str = "", old: str = "", new: str = "") -> Bench:
    """The template's connector, with a text replaced in one of its files. Its name is its own: modules are kept."""
    name = f"toy{next(_NUMBERS)}"
    write(name, folder)
    if file:
        path = folder / name / name / file
        text = path.read_text()
        assert old in text, f"{file} no longer has {old!r}"
        path.write_text(text.replace(old, new))
    return Bench(str(folder / name / name))


def problems(bench: Bench, check: str) -> list[str]:
    """What a check of the suite finds."""
    (found,) = [each for each in suite.SUITE if each.name == check]
    verdicts = [suite.tried(bench, found, subject) for subject in found.subjects(bench)]
    assert verdicts
    return [f"{verdict.subject}: {verdict.problem}" for verdict in verdicts if verdict.problem]


@dataclass(frozen=True)
class Mistake:
    """One mistake, and the check that finds it."""

    check: str
    file: str
    old: str
    new: str
    told: str = field(default="")


MISTAKES = {
    "a verb is not declared": Mistake(
        "manifest",
        "manifest.toml",
        '[verbs."Psa.put_task"]\nstrategy = "find_then_create"\nfind = "find_task"\nconditional = true\n',
        "",
        "Psa.put_task",
    ),
    "a port's read is left out": Mistake("manifest", "manifest.toml", '"Psa.read_project", ', "", "Psa.read_project"),
    "an address without TLS": Mistake("manifest", "manifest.toml", "https://api", "http://api", "https"),
    "a write without its key": Mistake(
        "delivered twice", "connector.py", ', key=f"{billed.project_code}:{billed.number}")', ")", "mark"
    ),
    "an end sent as it is": Mistake(
        "last days", "mapping.py", 'Field("end", "ends_on", *LAST_DAY)', 'Field("end", "ends_on", *DAY)', "ends_on"
    ),
    "it waits by itself": Mistake("code", "connector.py", "from datetime", "import time\nfrom datetime", "time"),
    "a row of errors nobody reaches": Mistake(
        "error rows",
        "manifest.toml",
        "[[errors]]\nstatus = 409",
        '[[errors]]\nstatus = "4xx"\nraises = "RemoteRefusal"\n\n[[errors]]\nstatus = 409',
        "409",
    ),
    "an error that says nothing happened": Mistake(
        "error rows",
        "manifest.toml",
        "[[errors]]\nstatus = 401",
        '[[errors]]\nstatus = "5xx"\nraises = "Unreachable"\n\n[[errors]]\nstatus = 401',
        "5xx",
    ),
    "a limit taken for a refusal": Mistake(
        "error rows", "manifest.toml", 'raises = "Throttled"', 'raises = "RemoteRefusal"', "429"
    ),
    "a bad key taken for a refusal": Mistake(
        "error rows",
        "manifest.toml",
        'status = 401\nraises = "NeedsSetup"',
        'status = 401\nraises = "RemoteRefusal"',
        "401",
    ),
    "a refusal sent again for ever": Mistake(
        "error rows", "manifest.toml", 'code = "INVALID"\nraises = "RemoteRefusal"', 'raises = "Unreachable"', "422"
    ),
    "a 404 taken for an empty list": Mistake(
        "refusals told",
        "connector.py",
        '.page_size})\n        return Page(rows=answer.body["items"], more=answer.body["more"])',
        ".page_size}, allow=(404,))\n        found = answer.body if answer.status == 200 else {}\n"
        '        return Page(rows=found.get("items", []), more=found.get("more", False))',
        "approved_time",
    ),
    "a strange answer taken for an empty list": Mistake(
        "refusals told",
        "connector.py",
        'Page(rows=answer.body["items"], more=answer.body["more"])',
        'Page(rows=answer.body.get("items", []), more=answer.body.get("more", False))',
        "find_project",
    ),
    "a 403 that is no hindrance": Mistake(
        "refusals told",
        "connector.py",
        '{billed.number}")\n        return self.ref("mark", answer.body["id"])',
        '{billed.number}", allow=(403,))\n        return self.ref("mark", answer.body.get("id"))',
        "mark_invoiced",
    ),
    "a look-up that writes": Mistake(
        "asking changes nothing",
        "connector.py",
        'return self.ref("task", row["id"]) if row else None',
        'return (yield from self._change("tasks", row, {"title": "seen"})) if row else None',
        "find_task",
    ),
    "a condition that is declared and not sent": Mistake(
        "conditional", "connector.py", ', if_match=str(row["version"])', "", "Psa.put_project"
    ),
    "a condition that is sent and not declared": Mistake(
        "conditional",
        "manifest.toml",
        'find = "find_task"\nconditional = true',
        'find = "find_task"',
        "Psa.put_task",
    ),
    "a page of tasks left out": Mistake(
        "tasks in pages",
        "connector.py",
        'tasks = yield from all_pages(lambda place: self._page("tasks", {"project_id": row["id"], "page": place}))',
        'tasks = (yield from self._page("tasks", {"project_id": row["id"]})).rows',
        "Psa.read_project",
    ),
    "a look-up that never finds": Mistake(
        "write", "connector.py", 'return self.ref("task", row["id"]) if row else None', "return None", "Psa.put_task"
    ),
    "a look-up that always finds": Mistake(
        "write",
        "connector.py",
        'return self.ref("project", row["id"]) if row and self._is_open(row) else None',
        'return self.ref("project", row["id"] if row else 0)',
        "before Psa.put_project",
    ),
    "the look-up says another id": Mistake(
        "write", "connector.py", 'self.ref("task", row["id"]) if row', 'self.ref("task", row["version"]) if row'
    ),
    "a create without looking first": Mistake(
        "written before", "connector.py", "        if row is not None:\n", "        if False:\n", "Psa.put_project"
    ),
    "a read that leaves rows out": Mistake(
        "read", "connector.py", "rows if m.HOURS_STATE", "rows[1:] if m.HOURS_STATE", "TimeSource.approved_time"
    ),
    "pages turned by their number": Mistake(
        "paging drift",
        "connector.py",
        'rows = yield from after_last_row(self._hours_page, self.since(watermark), "changed_at")',
        'rows = (yield from self._page("hours", {"changed_since": "2020-01-01T00:00:00+00:00"})).rows',
    ),
    "a state is guessed": Mistake(
        "unknown states",
        "connector.py",
        'm.HOURS_STATE.read(row["state"]) == "approved"',
        'm.HOURS_STATE.rows.get(row["state"]) == "approved"',
        "hours",
    ),
    "a table of states that no answer meets": Mistake(
        "unknown states",
        "mapping.py",
        "HOURS_STATE = ",
        'TASK_STATE = StatusTable("tasks", {"begun": "open"})\nHOURS_STATE = ',
        "no answer has a state of tasks",
    ),
    "a missing field is a bug": Mistake(
        "missing fields",
        "connector.py",
        "        project_code, _, task_code = row[",
        '        assert "task_reference" in row\n        project_code, _, task_code = row[',
    ),
    "a table that sends without saying what": Mistake(
        "mapping losses", "mapping.py", "    of=Project,\n", "", "PROJECT sends something"
    ),
    "a converter that changes": Mistake(
        "mapping losses",
        "mapping.py",
        'Field("budget", "budget", out=str, back=Decimal)',
        'Field("budget", "budget", out=int)',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_by_its_check(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    found = problems(toy(tmp_path, mistake.file, mistake.old, mistake.new), mistake.check)
    assert found, f"{mistake.check} does not notice"
    assert mistake.told in " ".join(found), found


def test_the_template_itself_has_none_of_these_mistakes(tmp_path: Path) -> None:
    bench = toy(tmp_path)
    for check in {mistake.check for mistake in MISTAKES.values()}:
        assert problems(bench, check) == []


# -- what only the sandbox shows ---------------------------------------------------------------------------------


def test_a_second_object_is_counted_wherever_the_answer_was_lost(tmp_path: Path) -> None:
    """Neither the connector looks first nor the vendor refuses a reference twice, and the look-up finds nothing."""
    bench = toy(tmp_path, "connector.py", 'return self.ref("task", row["id"]) if row else None', "return None")
    bench = Bench(str(bench.folder))
    found = problems(bench, "each request lost")
    assert any("Psa.put_task" in each for each in found)


def test_a_vendor_that_makes_twins_is_told_by_the_thousand_doubts(tmp_path: Path) -> None:
    blind = toy(tmp_path, "connector.py", "        if row is not None:\n", "        if False:\n")
    sandbox = blind.folder / "sandbox.py"
    sandbox.write_text(sandbox.read_text().replace('if record.get("reference") and any(', "if False and any("))
    (blind.folder / "connector.py").write_text(
        (blind.folder / "connector.py").read_text().replace("        if len(rows) > 1:\n", "        if False:\n")
    )
    # A module once imported stays as it was, so the changed one gets a name of its own.
    again = tmp_path / "twins"
    again.mkdir()
    for path in blind.folder.glob("*.*"):
        (again / path.name).write_text(path.read_text().replace(blind.folder.name, "twins"))
    bench = Bench(str(again))
    bench.reset()
    told = doubt.many_doubts(bench, "Psa.put_project", 50)
    assert told.duplicates > 0 and re.search(r"there is|\+1 projects", told.problems[0])
    assert told.outcomes >= 50, "it counts to the end"


def test_a_limit_that_is_not_kept_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.app.conformance import limits
    from isthmus.kit.limits import Unlimited

    bench = toy(tmp_path)
    monkeypatch.setattr(limits, "make_budget", lambda facts: Unlimited())
    assert problems(bench, "limits kept") != []


def test_a_token_that_is_not_renewed_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.kit import executor

    monkeypatch.setattr(executor, "RENEWALS_MAX", 0)
    assert "was not renewed" in " ".join(problems(toy(tmp_path), "token expires"))


def test_believing_a_stale_look_up_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a settling time the hub sends again what is there and does not show yet."""
    from isthmus.kit.executor import Connection

    bench = toy(tmp_path, "sandbox.py", 'if record.get("reference") and any(', "if False and any(")
    assert problems(bench, "late to show") == []
    monkeypatch.setattr(Connection, "settling_time", timedelta(0))
    assert any("Psa.put_project" in each for each in problems(bench, "late to show"))


def test_a_key_that_the_vendor_does_not_keep_its_word_about_is_seen(tmp_path: Path) -> None:
    forgets = (
        "            self._answers[key] = (record, made)\n",
        "            pass  # it takes the key and forgets it\n",
    )
    found = problems(toy(tmp_path, "sandbox.py", *forgets), "delivered twice")
    assert any("TimeSource.mark_invoiced" in each for each in found)


def test_a_secret_in_a_log_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import structlog

    from isthmus.kit.executor import Connection

    bench = toy(tmp_path)
    plain = Connection._headers

    def talkative(self: Connection, request: object) -> dict[str, str]:
        structlog.get_logger("careless").info("sending", secret=self.secrets["client_secret"])
        return plain(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "_headers", talkative)
    assert "client_secret" in " ".join(problems(bench, "secrets nowhere"))


@pytest.mark.parametrize("way", ["print", "logging"])
def test_a_secret_that_is_printed_or_logged_by_another_library_is_seen(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isthmus.kit.executor import Connection

    bench = toy(tmp_path)
    plain = Connection._headers

    def talkative(self: Connection, request: object) -> dict[str, str]:
        say = print if way == "print" else logging.getLogger("some.library").debug
        say(f"signed in with {self.auth.token}")
        return plain(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "_headers", talkative)
    assert "the token of the session" in " ".join(problems(bench, "secrets nowhere"))


def test_a_samples_file_that_is_wrong_says_where(tmp_path: Path) -> None:
    with pytest.raises(NeedsSetup, match=r"samples\.toml.*no port has the verb Psa\.put_projekt"):
        toy(tmp_path, "samples.toml", '[verbs."TimeSource.mark_invoiced".inputs', '[verbs."Psa.put_projekt".inputs')
    with pytest.raises(NeedsSetup, match=r"samples\.toml"):
        toy(tmp_path, "samples.toml", "base_path", "base_pth")
