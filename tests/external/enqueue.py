"""Hands one job over. Of one it says that it was refused, with one it fails, one leaves a process behind."""
import socket
import subprocess
import sys

job, host, port = sys.argv[1:]
if job == "job-3":
    print("fail", job, "it is full")
    sys.exit(0)
if job == "job-5":
    command = [sys.executable, "-c", "import time; time.sleep(1000)", "syncope-test-left-behind"]
    subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)
redis = socket.create_connection((host, int(port)))
redis.sendall(f"LPUSH jobs {job}\r\n".encode())
redis.makefile("r").readline()
if job == "job-7":
    print("the answer was lost", file=sys.stderr)
    sys.exit(3)
