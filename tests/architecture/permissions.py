"""The permission table: who may call which route. A test walks all of it.

`ANYONE` needs no sign-in; the others name the least role in the project of the path, except
`SIGNED_IN` (any account), `OWNER` (the person whose row it is) and `INSTALLATION` (its admins).
"""

from enum import Enum


class Who(Enum):
    ANYONE = "anyone"
    SIGNED_IN = "signed in"
    OWNER = "owner"
    MEMBER = "member"
    ANNOTATOR = "annotator, reviewer, admin"
    VIEWER = "viewer, reviewer, admin"
    REVIEWER = "reviewer, admin"
    ADMIN = "admin"
    INSTALLATION = "admin of the installation"


PERMISSIONS = {
    # upkeep
    "GET /": Who.ANYONE,
    "GET /healthz": Who.ANYONE,
    "GET /readyz": Who.ANYONE,
    "GET /metrics": Who.INSTALLATION,
    # accounts
    "GET /setup/{key}": Who.ANYONE,
    "POST /setup/{key}": Who.ANYONE,
    "GET /invitation/{key}": Who.ANYONE,
    "POST /invitation/{key}": Who.ANYONE,
    "GET /sign-in": Who.ANYONE,
    "POST /sign-in": Who.ANYONE,
    "GET /sign-in/state": Who.ANYONE,
    "POST /sign-in/here": Who.ANYONE,
    "POST /sign-out": Who.ANYONE,
    "GET /account": Who.SIGNED_IN,
    "POST /account/password": Who.SIGNED_IN,
    "POST /account/breaks": Who.SIGNED_IN,
    "POST /account/tokens": Who.SIGNED_IN,
    "POST /account/tokens/{token_id}/revoke": Who.OWNER,
    "GET /api/v1/me/preferences": Who.SIGNED_IN,
    "PUT /api/v1/me/preferences": Who.SIGNED_IN,
    "GET /users": Who.INSTALLATION,
    "POST /users/invitations": Who.INSTALLATION,
    "POST /users/{user_id}/disable": Who.INSTALLATION,
    "POST /users/{user_id}/enable": Who.INSTALLATION,
    # projects
    "GET /projects": Who.SIGNED_IN,
    "GET /projects/new": Who.INSTALLATION,
    "POST /projects/new": Who.INSTALLATION,
    "GET /projects/{project_id}/settings": Who.ADMIN,
    "POST /projects/{project_id}/settings": Who.ADMIN,
    "POST /projects/{project_id}/pause": Who.ADMIN,
    "GET /projects/{project_id}/guidelines": Who.MEMBER,
    "POST /projects/{project_id}/guidelines/read": Who.MEMBER,
    "GET /projects/{project_id}/guidelines/edit": Who.ADMIN,
    "POST /projects/{project_id}/guidelines/edit": Who.ADMIN,
    "GET /projects/{project_id}/members": Who.ADMIN,
    "POST /projects/{project_id}/members": Who.ADMIN,
    "GET /projects/{project_id}/members/{user_id}": Who.ADMIN,
    "POST /projects/{project_id}/members/{user_id}": Who.ADMIN,
    "POST /projects/{project_id}/members/{user_id}/role": Who.ADMIN,
    "POST /projects/{project_id}/members/{user_id}/pause": Who.ADMIN,
    "POST /projects/{project_id}/members/{user_id}/remove": Who.ADMIN,
    "GET /api/v1/projects": Who.SIGNED_IN,
    "POST /api/v1/projects": Who.INSTALLATION,
    "GET /api/v1/projects/{project_id}": Who.MEMBER,
    "PATCH /api/v1/projects/{project_id}": Who.ADMIN,
    "GET /api/v1/projects/{project_id}/members": Who.ADMIN,
    "PUT /api/v1/projects/{project_id}/members/{email}": Who.ADMIN,
    # corpus
    "GET /projects/{project_id}/data": Who.VIEWER,
    "GET /projects/{project_id}/prompts/{prompt_id}": Who.VIEWER,
    "POST /projects/{project_id}/imports": Who.ADMIN,
    "GET /projects/{project_id}/imports/{import_id}": Who.VIEWER,
    "POST /projects/{project_id}/imports/{import_id}/cancel": Who.ADMIN,
    "POST /api/v1/projects/{project_id}/imports": Who.ADMIN,
    "GET /api/v1/projects/{project_id}/imports": Who.VIEWER,
    "GET /api/v1/imports/{import_id}": Who.VIEWER,
    # annotation
    "GET /projects/{project_id}/rank": Who.ANNOTATOR,
    "POST /projects/{project_id}/rank/next": Who.ANNOTATOR,
    "GET /projects/{project_id}/rank/history": Who.ANNOTATOR,
    "GET /projects/{project_id}/rank/qualification": Who.ANNOTATOR,
    "GET /projects/{project_id}/rank/progress": Who.ANNOTATOR,
    "GET /assignments/{assignment_id}": Who.OWNER,
    "POST /assignments/{assignment_id}": Who.OWNER,
    "POST /assignments/{assignment_id}/skip": Who.OWNER,
    "POST /api/v1/projects/{project_id}/assignments": Who.ANNOTATOR,
    "GET /api/v1/assignments/{assignment_id}": Who.OWNER,
    "POST /api/v1/assignments/{assignment_id}/renew": Who.OWNER,
    "POST /api/v1/assignments/{assignment_id}/release": Who.OWNER,
    "POST /api/v1/assignments/{assignment_id}/skip": Who.OWNER,
    "PUT /api/v1/assignments/{assignment_id}/draft": Who.OWNER,
    "PUT /api/v1/assignments/{assignment_id}/annotation": Who.OWNER,
    "GET /api/v1/assignments/{assignment_id}/source": Who.OWNER,
    "GET /api/v1/assignments/{assignment_id}/difference": Who.OWNER,
    "GET /api/v1/me/annotations": Who.SIGNED_IN,
    "GET /api/v1/me/progress": Who.SIGNED_IN,
    "GET /api/v1/projects/{project_id}/annotations": Who.ADMIN,
    "PUT /api/v1/tasks/{task_id}/gold": Who.ADMIN,
    "DELETE /api/v1/tasks/{task_id}/gold": Who.ADMIN,
    # quality
    "GET /projects/{project_id}": Who.MEMBER,  # an annotator is sent on to her tasks
    "GET /projects/{project_id}/annotators": Who.VIEWER,
    "GET /projects/{project_id}/annotators/{user_id}": Who.VIEWER,
    "POST /projects/{project_id}/members/{user_id}/qualification": Who.ADMIN,
    "GET /projects/{project_id}/review": Who.REVIEWER,
    "GET /tasks/{task_id}/review": Who.REVIEWER,
    "POST /tasks/{task_id}/adjudication": Who.REVIEWER,
    "GET /api/v1/projects/{project_id}/agreement": Who.VIEWER,
    "GET /api/v1/projects/{project_id}/annotators": Who.VIEWER,
    "GET /api/v1/projects/{project_id}/tasks": Who.REVIEWER,
    "PUT /api/v1/tasks/{task_id}/adjudication": Who.REVIEWER,
    # work
    "GET /projects/{project_id}/work": Who.REVIEWER,
    "POST /projects/{project_id}/settings/review": Who.ADMIN,
    "GET /projects/{project_id}/settings/undo": Who.ADMIN,
    "POST /projects/{project_id}/settings/undo": Who.ADMIN,
    "POST /projects/{project_id}/guidelines/review": Who.ADMIN,
    "GET /projects/{project_id}/pause": Who.ADMIN,
    "GET /api/v1/projects/{project_id}/work": Who.ADMIN,
    "POST /api/v1/projects/{project_id}/effects": Who.ADMIN,
    # datasets
    "GET /projects/{project_id}/snapshots": Who.VIEWER,
    "POST /projects/{project_id}/snapshots": Who.ADMIN,
    "GET /projects/{project_id}/snapshots/new": Who.ADMIN,
    "GET /projects/{project_id}/snapshots/preview": Who.ADMIN,
    "GET /projects/{project_id}/snapshots/{snapshot_id}": Who.VIEWER,
    "POST /projects/{project_id}/snapshots/{snapshot_id}/retry": Who.ADMIN,
    "POST /api/v1/projects/{project_id}/snapshots": Who.ADMIN,
    "GET /api/v1/projects/{project_id}/snapshots": Who.VIEWER,
    "POST /api/v1/projects/{project_id}/snapshots/preview": Who.ADMIN,
    "GET /api/v1/snapshots/{snapshot_id}": Who.VIEWER,
    "GET /api/v1/snapshots/{snapshot_id}/files/{path:path}": Who.VIEWER,
    "GET /api/v1/snapshots/{snapshot_id}/archive": Who.VIEWER,
    # runs
    "GET /projects/{project_id}/runs": Who.VIEWER,
    "GET /projects/{project_id}/runs/new": Who.ADMIN,
    "POST /projects/{project_id}/runs": Who.ADMIN,
    "POST /projects/{project_id}/runs/chain": Who.ADMIN,
    "GET /projects/{project_id}/runs/{run_id}": Who.VIEWER,
    "GET /projects/{project_id}/runs/{run_id}/log": Who.VIEWER,
    "POST /projects/{project_id}/runs/{run_id}/cancel": Who.ADMIN,
    "POST /projects/{project_id}/runs/{run_id}/resume": Who.ADMIN,
    "GET /projects/{project_id}/checkpoints/{checkpoint_id}": Who.VIEWER,
    "GET /projects/{project_id}/generations/new": Who.ADMIN,
    "POST /projects/{project_id}/generations": Who.ADMIN,
    "GET /projects/{project_id}/generations/{generation_id}": Who.VIEWER,
    "POST /projects/{project_id}/generations/{generation_id}/cancel": Who.ADMIN,
    "POST /projects/{project_id}/generations/{generation_id}/resume": Who.ADMIN,
    "POST /api/v1/runs": Who.ADMIN,
    "GET /api/v1/projects/{project_id}/runs": Who.VIEWER,
    "GET /api/v1/runs/{run_id}": Who.VIEWER,
    "GET /api/v1/runs/{run_id}/metrics": Who.VIEWER,
    "GET /api/v1/runs/{run_id}/samples": Who.VIEWER,
    "POST /api/v1/runs/{run_id}/cancel": Who.ADMIN,
    "POST /api/v1/runs/{run_id}/resume": Who.ADMIN,
    "GET /api/v1/projects/{project_id}/checkpoints": Who.VIEWER,
    "GET /api/v1/checkpoints/{checkpoint_id}": Who.VIEWER,
    "GET /api/v1/checkpoints/{checkpoint_id}/lineage": Who.VIEWER,
    "GET /api/v1/checkpoints/{checkpoint_id}/archive": Who.VIEWER,
    "POST /api/v1/projects/{project_id}/generations": Who.ADMIN,
    "GET /api/v1/generations/{generation_id}": Who.VIEWER,
    "POST /api/v1/generations/{generation_id}/cancel": Who.ADMIN,
    "POST /api/v1/generations/{generation_id}/resume": Who.ADMIN,
}
