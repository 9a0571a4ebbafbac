"""The OpenAPI document says what the API does: contract, errors, keys and files."""

import re

import pytest

from app.main import create_app

# Every call of contract.md §3, and the status of its success.
CALLS = """
POST /projects 201
GET /projects 200
GET /projects/{} 200
PATCH /projects/{} 200
PUT /projects/{}/members/{} 200
POST /projects/{}/imports 202
GET /imports/{} 200
POST /projects/{}/assignments 200 201 204
GET /assignments/{} 200
POST /assignments/{}/renew 200
POST /assignments/{}/release 204
POST /assignments/{}/skip 204
PUT /assignments/{}/draft 200
PUT /assignments/{}/annotation 200 201
GET /me/annotations 200
GET /projects/{}/annotations 200
PUT /tasks/{}/gold 200
DELETE /tasks/{}/gold 204
GET /projects/{}/agreement 200
GET /projects/{}/annotators 200
GET /projects/{}/tasks 200
PUT /tasks/{}/adjudication 200
POST /projects/{}/snapshots 202
GET /snapshots/{} 200
GET /snapshots/{}/files/{} 200 206 304 416
GET /snapshots/{}/archive 200
POST /runs 202
GET /runs/{} 200
GET /runs/{}/metrics 200
GET /runs/{}/samples 200
POST /runs/{}/cancel 202
POST /runs/{}/resume 202
GET /checkpoints/{} 200
GET /checkpoints/{}/lineage 200
POST /projects/{}/generations 202
"""


@pytest.fixture(scope="module")
def document():
    return create_app().openapi()


def operations(document):
    return {
        (method.upper(), re.sub(r"{[^}]*}", "{}", path).removeprefix("/api/v1")): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_every_call_of_the_contract_is_there_with_its_success(document, call):
    method, path, *codes = call.split()
    responses = operations(document)[method, path]["responses"]
    assert sorted(code for code in responses if code != "default") == codes


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_upkeep_lies_outside_the_api(document, path):
    assert path in document["paths"]


def test_errors_are_problem_documents_and_programs_bring_a_token(document):
    (scheme,) = document["components"]["securitySchemes"]
    for (method, path), operation in operations(document).items():
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
        if path not in {"/healthz", "/readyz"}:
            assert operation["security"] == [{scheme: []}], (method, path)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_files_go_in_and_out_as_what_they_are(document):
    found = operations(document)
    sent = found["POST", "/projects/{}/imports"]["requestBody"]["content"]
    assert {"application/x-ndjson", "text/csv", "multipart/form-data"} <= sent.keys()
    for path in ("/snapshots/{}/archive", "/checkpoints/{}/archive", "/runs/{}/archive"):
        assert list(found["GET", path]["responses"]["200"]["content"]) == ["application/zip"]
