"""Prints how often each job's work was done, as Redis has it."""
import json
import socket
import sys

file = socket.create_connection((sys.argv[1], int(sys.argv[2]))).makefile("rw", newline="\r\n")
file.write("HGETALL done\r\n")
file.flush()
count = int(file.readline()[1:])
words = []
for _ in range(count):
    file.readline()
    words.append(file.readline().strip())
print(json.dumps({job: int(times) for job, times in zip(words[::2], words[1::2])}))
