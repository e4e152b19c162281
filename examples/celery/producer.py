"""Reads one job a line (JSON: id, steps in nanoseconds) and prints one line for each: `ok ID` once Redis
has it, `info ID why` if that is not known."""
import json
import sys

from tasks import app, work

with app.connection_for_write() as connection:
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            # No retries of its own: what was not acknowledged is told as such.
            work.apply_async((job,), task_id=job["id"], connection=connection, retry=False)
            print("ok", job["id"], flush=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, Redis may have the job or not
            print("info", job["id"], error, flush=True)
