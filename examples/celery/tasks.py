"""A Celery application; its worker is `celery -A tasks worker`. All that it is told is in its environment."""
import os
import sys
import time

import redis
from celery import Celery, signals

HOST, PORT = os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379"))
DB = int(os.environ.get("REDIS_DB", "0"))


def seconds(name, otherwise):
    return float(os.environ.get(name, otherwise))


def flag(name):
    return os.environ.get(name, "false") == "true"


app = Celery("tasks", broker=f"redis://{HOST}:{PORT}/{DB}")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=flag("ACKS_LATE"),
    task_reject_on_worker_lost=flag("REJECT_ON_WORKER_LOST"),
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "1")),
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": seconds("VISIBILITY_TIMEOUT", "3600"),
        "unacked_restore_interval": seconds("RESTORE_INTERVAL", "10"),
        "unacked_restore_throttle": int(seconds("RESTORE_THROTTLE", "10")),
    },
)
done = redis.Redis(HOST, PORT, DB)


def say(*words):
    print(*words, file=sys.__stdout__, flush=True)  # Not to the worker's log.


@signals.worker_ready.connect
def ready(**_):
    say("ready")


@app.task(bind=True, max_retries=3, default_retry_delay=seconds("RETRY_DELAY", "180"))
def work(self, job):
    redelivered = self.request.delivery_info.get("redelivered", False)
    say("took", job["id"], "redelivered", redelivered, "retries", self.request.retries)
    if job["id"] == os.environ.get("CRASH_JOB") and not redelivered:
        os.kill(os.getpid(), 9)  # As the kernel does when memory is short.
    if self.request.retries < job.get("failing_attempts", 0):
        raise self.retry(exc=RuntimeError("as told"))
    for number, nanoseconds in enumerate(job["steps"], 1):
        time.sleep(nanoseconds / 1e9)
        say("step", job["id"], number)
    done.hincrby("effects", job["id"], 1)
    say("done", job["id"])
