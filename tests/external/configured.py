"""Reads its settings from a file, is slow to start, and ends in order by SIGINT alone."""
import json
import os
import signal
import socket
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1]) as file:
    settings = json.load(file)
redis = socket.create_connection((settings["host"], settings["port"]))
answers = redis.makefile("r")


def ask(command):
    redis.sendall(f"{command}\r\n".encode())
    kind = answers.readline().strip()
    return answers.readline().strip() if kind.startswith("$") and kind != "$-1" else kind


time.sleep(0.3)
ask(f"SET ready:{settings['name']} {os.getpid()} PX 2000")
try:
    while True:
        job = ask("RPOP jobs")
        if job == "$-1":
            time.sleep(0.01)
            continue
        ask(f"HINCRBY done {job} 1")
except KeyboardInterrupt:
    ask(f"DEL ready:{settings['name']}")
    sys.exit(0)
