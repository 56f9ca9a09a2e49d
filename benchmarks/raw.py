"""The raw limit of this machine in this run: single-row insert and commit, by pgbench of the same PostgreSQL."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg

from benchmarks.bed import plain
from isthmus.store import embedded

ROW = '{"entry":"kantata:1234","hours":"7.5","project":"P-K-1001","person":"ada","note":"work"}'


def commit_rates(url: str, folder: Path, clients: tuple[int, ...] = (1, 32), seconds: int = 4) -> dict[int, float]:
    """Commits per second by number of clients."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("create table if not exists raw_row (id bigserial primary key, content text)")
        info = connection.info
        where = ["-h", info.host, "-p", str(info.port), "-U", info.user, info.dbname]
    script = folder / "raw.sql"
    script.write_text(f"insert into raw_row (content) values ('{ROW}');\n")
    rates = {}
    for number in clients:
        command = [
            str(embedded.binary_dir() / "pgbench"), "-n", "-M", "prepared", "-c", str(number), "-j", "2",
            "-T", str(seconds), "-f", str(script), *where,
        ]  # fmt: skip
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.search(r"tps = ([\d.]+)", told)
        assert found, told
        rates[number] = float(found.group(1))
    return rates
