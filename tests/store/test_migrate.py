import sqlalchemy as sa

from isthmus.store import migrate


def test_a(fresh_database):
    assert migrate.current(fresh_database) == migrate.head()
    with sa.create_engine(fresh_database).connect() as c:
        assert migrate.differences(c) == []


def test_b(fresh_database):
    assert migrate.current(fresh_database) == migrate.head()
