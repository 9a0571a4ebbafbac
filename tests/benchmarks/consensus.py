"""How long answers and leaderboard of a large project take: `python -m tests.benchmarks.consensus`.

Fills a database of its own as `tests.benchmarks.quality` does, with fifty sources behind the
responses, then times the read, Dawid and Skene's model, Davidson's, and the kept views. Prints;
asserts nothing.
"""

import argparse

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import connect, transaction
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries.crowd import crowd_of
from app.quality.service import summary
from app.quality.service.consensus import uncertain_tasks
from app.quality.service.consensus_figures import consensus_figures
from app.quality.service.leaderboard import charts
from app.quality.service.leaderboard_figures import leaderboard_figures
from app.schema import migrate
from tests.benchmarks.quality import fill, server, timed
from tests.conftest import fresh_database, psycopg_url

SOURCES = """
UPDATE response SET source = 'model ' || (abs(hashtextextended(id::text, 0)) % 50)
"""
# A third answers at random: the rest agree with the earlier response more often than not.
CARELESS = """
UPDATE annotation SET ranks = CASE WHEN random() < 0.5 THEN '{1,2}' ELSE '{2,1}' END::smallint[]
WHERE cardinality(ranks) = 2 AND get_byte(uuid_send(user_id), 0) % 3 = 0
"""


def measure(url: str, *, annotations: int, size: int) -> None:
    print(f"{annotations:,} judgements, {size} responses per task, 50 sources")
    engine = connect(url, pool_size=2)
    migrate(engine)
    with transaction() as session:
        project = fill(session, annotations=annotations, size=size)
        session.execute(text(SOURCES))
        session.execute(text(CARELESS))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    with transaction() as session:
        session.add(project)
        measure_figures(session, project)
    for part in (Part.CONSENSUS, Part.LEADERBOARD):
        with transaction() as session:
            session.add(project)
            with timed(f"recompute {part.value}: read, compute, store", session):
                summary.recompute(session, project=project, part=part)
        with transaction() as session:
            session.add(project)
            with timed(f"showing the kept {part.value}", session):
                view = summary.current(session, project=project, part=part)
                assert view is not None
                if part is Part.CONSENSUS:
                    uncertain_tasks(session, view=view, start=0, limit=25)
                else:
                    charts(view)
    engine.dispose()


def measure_figures(session: Session, project: Project) -> None:
    with timed("reading the judgements (one statement)", session):
        crowd = crowd_of(session, project=project)
    with timed("Dawid–Skene and all answers", session):
        answers = consensus_figures(session, project=project, crowd=crowd)
    with timed("reading sources, Davidson with sandwich", session):
        board = leaderboard_figures(session, project=project, crowd=crowd)
    print(f"  {answers['n_open']:,} answers, {len(board['entries'])} sources on one scale")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--size", type=int, default=2, help="responses per task")
    parser.add_argument("--server", help="URL of a PostgreSQL server to use")
    arguments = parser.parse_args()
    np.seterr(all="raise", under="ignore")
    with server(arguments.server) as url:
        for annotations in arguments.annotations:
            with fresh_database(url) as name:
                measure(psycopg_url(url, name), annotations=annotations, size=arguments.size)


if __name__ == "__main__":
    main()
