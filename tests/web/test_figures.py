"""Figures for Prometheus, also those of several processes."""

import os
import subprocess
import sys

ONE_REQUEST = "from app.web.logs import REQUESTS; REQUESTS.labels('GET', '/rank', 200).inc()"
SHOW = "from app.web.logs import figures; print(figures().decode())"
COUNTED = 'touchstone_requests_total{method="GET",route="/rank",status="200"}'


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_requests_of_all_web_processes_are_added_up(tmp_path):
    folder = str(tmp_path)
    python(ONE_REQUEST, PROMETHEUS_MULTIPROC_DIR=folder)
    python(ONE_REQUEST, PROMETHEUS_MULTIPROC_DIR=folder)
    assert f"{COUNTED} 2.0" in python(SHOW, PROMETHEUS_MULTIPROC_DIR=folder)


def test_a_process_on_its_own_shows_its_own():
    assert f"{COUNTED} 1.0" in python(f"{ONE_REQUEST}; {SHOW}")
