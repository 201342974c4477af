#!/usr/bin/env python3
"""The demo's load: requests at a steady rate, half on new connections, half on kept ones; counts what came back.

usage: load.py PORT FILE    until FILE.on is gone; writes "<answered> <failed>" to FILE about five times a second
A request counts as answered only with status 200 and the expected body. The rate is held down (100 requests a second a
kind), so that the system does not run out of ports for closed connections; tools/bench is for speed.
"""
import http.client
import os
import sys
import threading
import time

RATE = 100
KEEP_SECONDS = 5  # a connection ends with the SVIDs it was made with (10 s are left at the least): leave before
BODY = b"hello from the backend\n"


class Counts:
    """Shared by the threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answered = 0
        self.failed = 0
        self.errors = []

    def add(self, fault):
        with self.lock:
            if fault is None:
                self.answered += 1
            else:
                self.failed += 1
                if len(self.errors) < 20:
                    self.errors.append(f"{time.strftime('%H:%M:%S')} {fault}")


def ask(connection):
    connection.request("GET", "/")
    answer = connection.getresponse()
    body = answer.read()
    return None if answer.status == 200 and body == BODY else f"status {answer.status}, {len(body)} bytes"


def run(port, keep, running, counts):
    connection, due, made = None, time.monotonic(), 0.0
    while running():
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        if connection is None:
            connection, made = http.client.HTTPConnection("127.0.0.1", port, timeout=5), time.monotonic()
        try:
            fault = ask(connection)
        except (OSError, http.client.HTTPException) as error:
            fault = f"{'kept' if keep else 'new'} connection: {error!r}"
        counts.add(fault)
        if not keep or fault or time.monotonic() - made > KEEP_SECONDS:
            connection.close()
            connection = None


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    counts = Counts()
    running = lambda: os.path.exists(path + ".on")
    threads = [threading.Thread(target=run, args=(port, keep, running, counts)) for keep in (False, True)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        with counts.lock:
            text = f"{counts.answered} {counts.failed}\n"
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(text)
        os.replace(path + ".new", path)
    for error in counts.errors:
        print(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
