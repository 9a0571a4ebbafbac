"""Pages of the store slice, as pictures."""
import sys
sys.path.insert(0, "/work/wt-store")
import pytest
from sqlalchemy import select, update
from app.db import transaction, database_now, JobState
from app.runs.models import RunKind, Run
from app.datasets.models import Snapshot, SnapshotWriter
from app.accounts.models import Role, User
from app.accounts import service as accounts
from app.annotation.models import Annotation
from app.projects.models import Project
from app.corpus.models import Prompt
from app.demo import seed
from tests.factories import make_user
from tests.runs.factories import make_run, make_checkpoint, make_snapshot
from app.web.protection import SESSION_COOKIE
from app.worker.snapshots import freeze_now
from app.datasets.schemas import Recipe
from app import artifacts

def put(path, n):
    with artifacts.workspace() as s:
        (s/"f").mkdir(); (s/"f"/"file").write_bytes(b"x"*n)
        artifacts.put_folder(s/"f", to=path)
    return path

pytestmark=[pytest.mark.browser]
def test_shots(live_server, browser):
    seed.fill()
    from datetime import timedelta
    with transaction() as session:
        pid = session.scalars(select(Project.id)).one()
    other = freeze_now(project_id=pid, recipe=Recipe(min_annotations=1), name="Round 2")
    with transaction() as session:
        ada = make_user(session, "Ada", role=Role.ADMIN)
        cookie = accounts.open_session(session, user=ada, now=database_now(session))
        project = session.scalars(select(Project)).one()
        first = session.scalars(select(Snapshot).where(Snapshot.id != other.id)).first()
        now = database_now(session)
        def trained(snapshot, kind, name, parent=None, reward=None):
            run = make_run(session, snapshot, kind, name=name, state=JobState.SUCCEEDED, path="none", finished_at=now, attempt=1, step=40, parent_checkpoint_id=parent.id if parent else None, reward_checkpoint_id=reward.id if reward else None, base={"checkpoint": str(parent.id)} if parent else {"new":"tiny"})
            c = make_checkpoint(session, project, kind, run=run); c.name=name; c.parent_id = parent.id if parent else None; c.bytes=31_000_000
            session.flush(); return c
        sft=trained(first,RunKind.SFT,"SFT 1"); rew=trained(first,RunKind.REWARD,"Reward model 1",sft); dpo=trained(first,RunKind.DPO,"DPO 1",sft); ppo=trained(first,RunKind.PPO,"PPO 1",dpo,rew)
        session.add(SnapshotWriter(snapshot_id=other.id, checkpoint_id=ppo.id, judgements=41))
        sft2=trained(other,RunKind.SFT,"SFT 2",ppo); rew2=trained(other,RunKind.REWARD,"Reward model 2",sft2); ppo2=trained(other,RunKind.PPO,"PPO 2 with a longer name",sft2,rew2)
        rew2.removed_at = now
        for n in range(3):
            r = make_run(session, first, RunKind.DPO, name=f"DPO {n+2}")
            r.state, r.finished_at = JobState.FAILED, now - timedelta(days=100+n)
            r.path = put(f"runs/{r.id}/attempt-1", 30000*(n+1)); r.saved_path, r.saved_step = put(f"runs/{r.id}/saved/attempt-1-step-5", 900000*(n+1)), 5
        uid = session.scalars(select(Annotation.user_id).where(Annotation.counted, Annotation.user_id.is_not(None))).first()
        prompt_id = session.scalars(select(Annotation.task_id).limit(1)).first()
        from app.tasks.models import Task
        prompt_id = session.get(Task, prompt_id).prompt_id
        base=f"{live_server}/projects/{project.id}"
        paths={"ppo2":f"/checkpoints/{ppo2.id}","sft":f"/checkpoints/{sft.id}","person":f"/annotators/{uid}/models","snapmodels":f"/snapshots/{first.id}/models","storage":"/storage","prompt":f"/prompts/{prompt_id}/models","guide":"/guidelines/1/models"}
    ctx=browser.new_context(); ctx.add_cookies([{"name":SESSION_COOKIE,"value":cookie,"domain":"127.0.0.1","path":"/","secure":True}])
    page=ctx.new_page(); page.on("console", lambda m: print("console", m.text)); page.on("pageerror", lambda e: print("err", e))
    for name,path in paths.items():
        for w,scheme in ((1280,"light"),(390,"dark")):
            page.set_viewport_size({"width":w,"height":900}); page.emulate_media(color_scheme=scheme)
            r=page.goto(base+path); print(name, r.status, page.evaluate("document.documentElement.scrollWidth"), w)
            page.screenshot(path=f"/tmp/shots-store/{name}-{w}.png", full_page=True)
