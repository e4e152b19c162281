"""Hands jobs over, one a line, and says of each what it knows. Of some it knows little, and one ends it."""
import json
import os
import socket
import sys

redis = socket.create_connection((os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"])))
answers = redis.makefile("r")
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)["id"]
    if job == "job-3":
        print("fail", job, "it is full", flush=True)
        continue
    if job == "job-9":
        os._exit(3)
    if job != "job-7":
        redis.sendall(f"LPUSH jobs {job}\r\n".encode())
        answers.readline()
    if job in ("job-5", "job-7"):
        print("info", job, "the answer was lost", flush=True)
    else:
        print("ok", job, flush=True)
