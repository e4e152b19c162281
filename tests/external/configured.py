"""Reads its settings from a file, is slow to start, and ends in order by SIGINT alone."""
import json
import os
import signal
import socket
import sys
import threading
import time

stop = threading.Event()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, lambda *_: stop.set())
with open(sys.argv[1]) as file:
    settings = json.load(file)
ready = f"ready:{settings['name']}"
redis = socket.create_connection((settings["host"], settings["port"]))
answers = redis.makefile("r")


def ask(command):
    redis.sendall(f"{command}\r\n".encode())
    kind = answers.readline().strip()
    return answers.readline().strip() if kind.startswith("$") and kind != "$-1" else kind


time.sleep(0.3)
ask(f"SET {ready} {os.getpid()}")
# Whoever asks is told before the first job is done.
stop.wait(0.5)
while not stop.is_set():
    job = ask("RPOP jobs")
    if job == "$-1":
        stop.wait(0.01)
    else:
        ask(f"HINCRBY done {job} 1")
ask(f"DEL {ready}")
