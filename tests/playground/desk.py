"""A project with two checkpoints that write and one that scores, their files in the store."""

import shutil
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from app import artifacts
from app.accounts.models import Role, User
from app.db import transaction
from app.playground import queries, service
from app.playground.models import PlayPiece, PlayTurn
from app.playground.schemas import AskBody
from app.projects.models import Project
from app.runs.models import RunKind
from app.worker.playing import play_turn
from tests.factories import make_member, make_project, make_user
from tests.runs.factories import make_checkpoint
from tests.waiting import until

SCALE = {"eval_score_mean": 10.0, "eval_score_std": 5.0}


def store_model(session, project, folder, kind, name, **metrics):
    """A registered checkpoint with the files of a folder."""
    checkpoint = make_checkpoint(session, project, kind)
    checkpoint.name, checkpoint.metrics = name, metrics
    with artifacts.workspace() as space:
        shutil.copytree(folder, space / "model")
        files = artifacts.put_folder(space / "model", to=checkpoint.path)
    checkpoint.files = [file.as_json() for file in files]
    return checkpoint


class Desk:
    """What a test of the playground asks with; rows are read in transactions of their own."""

    def __init__(self, lm=None, judge=None):
        with TemporaryDirectory() as nothing, transaction() as session:
            (Path(nothing) / "config.json").write_text("{}")
            ada = make_user(session, "Ada", role=Role.ADMIN)
            project = make_project(session, "Kitchen help", by=ada)
            make_member(session, project, ada, Role.ADMIN)
            first = store_model(session, project, lm or nothing, RunKind.SFT, "Eggs SFT")
            second = store_model(session, project, lm or nothing, RunKind.DPO, "Eggs DPO")
            judge = store_model(
                session, project, judge or nothing, RunKind.REWARD, "Egg judge", **SCALE
            )
            self.paths = [first.path, second.path]
            self.ada_id, self.project_id = ada.id, project.id
            self.first, self.second, self.judge = first.id, second.id, judge.id
        self.stopping = threading.Event()

    def ask(self, message="How many eggs are in box 3?", **fields):
        """A queued turn; its id."""
        body = {"message": message, "checkpoint_ids": [self.first, self.second]} | fields
        with transaction() as session:
            return service.ask(
                session,
                project=session.get_one(Project, self.project_id),
                body=AskBody.model_validate({"reward_checkpoint_ids": [self.judge]} | body),
                by=session.get_one(User, self.ada_id),
            ).id

    def carry_out(self, turn_id):
        """As a worker does."""
        play_turn(turn_id, stopping=self.stopping)
        return self.look(turn_id)

    def in_the_background(self, turn_id):
        given = {"stopping": self.stopping}
        thread = threading.Thread(target=play_turn, args=[turn_id], kwargs=given)
        thread.start()
        return thread

    def look(self, turn_id):
        """The turn and its answers with what was made of them."""
        with transaction() as session:
            turn = session.get_one(PlayTurn, turn_id)
            answers = queries.answers_of(session, turns=[turn])[turn.id]
            session.expunge_all()
            return turn, answers

    def wait_for_pieces(self, count=4):
        def are_written():
            with transaction() as session:
                return session.query(PlayPiece).count() >= count

        until(are_written)
