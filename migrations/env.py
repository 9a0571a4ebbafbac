"""Alembic environment: one connection, handed in by `app.db_schema` or made from DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection, create_engine

from app.models import metadata


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Leave procrastinate's tables alone: they came with our own migration."""
    return not (type_ == "table" and name is not None and name.startswith("procrastinate_"))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=include_name,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url, "give sqlalchemy.url"
    with create_engine(url).connect() as connection:
        run(connection)
