"""A price list tried from the command line: every good row, every wrong cell with its place, and an exit code."""

from __future__ import annotations

from pathlib import Path

import isthmus.app
from tests.app_cli.conftest import Isthmus

LISTS = Path(isthmus.app.__file__).parent / "data" / "price_lists"


def test_a_good_list_shows_its_prices(isthmus: Isthmus) -> None:
    done = isthmus("prices", LISTS / "s70_sample.csv", "--json")
    assert done.code == 0 and (done.json["rows"], done.json["usable"], done.json["rejected"]) == (20, 20, [])
    first = done.json["prices"][0]
    assert (first["labor_category"], first["price"], first["currency"]) == ("Product Manager", "125.44", "USD")
    assert (first["valid_from"], first["valid_to"]) == ("2015-06-24", "2020-06-24")
    assert "20 of 20 rows can be used" in isthmus("prices", LISTS / "s70_sample.csv").out


def test_a_bad_list_names_line_column_and_reason_and_keeps_the_rest(isthmus: Isthmus) -> None:
    done = isthmus("prices", LISTS / "s70_bad_sample.csv")
    assert done.code == 1 and "18 of 20 rows can be used" in done.out
    assert "line 3, PRICE OFFERED TO GSA (including IFF): 'BAD_PRICE_DATA' is not a price" in done.out
    assert "line 13, CONTRACT START DATE: 'BAD_DATE_DATA' is not a date" in done.out


def test_an_empty_list_and_no_file_say_so(isthmus: Isthmus, tmp_path: Path) -> None:
    empty = isthmus("prices", LISTS / "s70_empty.csv")
    assert empty.code == 1 and "a header and no prices below it" in empty.out
    missing = isthmus("prices", tmp_path / "none.csv")
    assert missing.code == 1 and "cannot be read" in missing.err
