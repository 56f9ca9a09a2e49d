def test_it(pg_server, monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", pg_server.replace("+psycopg", ""))
    exec(open("/tmp/audit_scen.py").read(), {})
