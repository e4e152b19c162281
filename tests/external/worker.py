"""A small worker that knows nothing of Syncope: takes jobs from a Redis list, counts what it did.

A job is moved to a list of this worker's own while it is worked on, and moved back by whoever starts
under the same name again, so a kill -9 loses nothing. Standard library only.
"""
import os
import socket
import threading
import time


class Redis:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=5)
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        encoded = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)] + [b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded]
        self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest.decode()


def connect():
    return Redis(os.environ["REDIS_HOST"], int(os.environ["REDIS_PORT"]))


def beat(interval, ttl):
    redis = None
    while True:
        try:
            redis = redis or connect()
            redis("SET", os.environ.get("BEAT_KEY", "alive"), time.time(), "PX", int(ttl * 1000))
        except OSError:
            redis = None
        time.sleep(interval)


def work(name, seconds):
    redis, mine = connect(), f"busy:{name}"
    while redis("LMOVE", mine, "jobs", "RIGHT", "RIGHT"):
        pass
    while True:
        job = redis("LMOVE", "jobs", mine, "RIGHT", "LEFT")
        if job is None:
            time.sleep(0.01)
            continue
        print(f"took {job}", flush=True)
        time.sleep(seconds)
        redis("HINCRBY", "done", job, 1)
        redis("LREM", mine, 1, job)


def main():
    name = os.environ["WORKER_NAME"]
    threading.Thread(target=beat, args=(1, 3), daemon=True).start()
    while True:
        try:
            work(name, 0.05)
        except (OSError, RuntimeError) as error:
            print(f"lost redis: {error}", flush=True)
            time.sleep(0.05)


main()
