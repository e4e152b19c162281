"""A small worker that knows nothing of Syncope: it polls a table for jobs, and takes over what others hold
for too long without a sign of life. Standard library only."""
import json
import os
import socket
import struct
import time
from urllib.parse import urlparse


class Postgres:
    """One connection that speaks the simple query protocol, where no password is asked for."""

    def __init__(self, url):
        self.socket = socket.create_connection((url.hostname, url.port), timeout=5)
        self.file = self.socket.makefile("rb")
        words = f"user\0{url.username}\0database\0{url.path[1:]}\0\0".encode()
        self.socket.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
        self.replies()

    def __call__(self, statement):
        text = statement.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
        return self.replies()

    def replies(self):
        rows, error = [], None
        while True:
            head = self.file.read(5)
            if len(head) < 5:
                raise ConnectionError("postgres closed the connection")
            body = self.file.read(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == b"D":
                rows.append(columns(body))
            elif head[:1] == b"E":
                error = body.decode(errors="replace")
            elif head[:1] == b"Z":
                if error:
                    raise RuntimeError(error)
                return rows


def columns(body):
    found, at = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        length = struct.unpack("!i", body[at:at + 4])[0]
        found.append(body[at + 4:at + 4 + length].decode())
        at += 4 + length
    return found


NAME, LEASE_MS, POLL = os.environ["NAME"], int(os.environ["LEASE_MS"]), float(os.environ["POLL"])
CLAIM = f"""UPDATE jobs SET holder = '{NAME}', beat = clock_timestamp(),
    stalls = stalls + (state = 'running')::int, state = 'running'
    WHERE id = (SELECT id FROM jobs WHERE state = 'waiting'
        OR (state = 'running' AND beat < clock_timestamp() - interval '{LEASE_MS} ms')
        ORDER BY number FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id, spec"""
HELD = f"WHERE id = '%s' AND holder = '{NAME}' AND state = 'running'"
BEAT = f"UPDATE jobs SET beat = clock_timestamp() {HELD}"
DONE = f"WITH done AS (UPDATE jobs SET state = 'done' {HELD} RETURNING id) INSERT INTO effects SELECT id FROM done"


def main():
    postgres = Postgres(urlparse(os.environ["DATABASE_URL"]))
    print("ready", flush=True)
    while True:
        for job, spec in postgres(CLAIM) or time.sleep(POLL) or []:
            print("took", job, flush=True)
            for number, nanoseconds in enumerate(json.loads(spec)["steps"], 1):
                time.sleep(nanoseconds / 1e9)
                postgres(BEAT % job)
                print("step", job, number, flush=True)
            postgres(DONE % job)
            print("done", job, flush=True)


main()
