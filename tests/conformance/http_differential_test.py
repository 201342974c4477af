#!/usr/bin/env python3
"""Request heads, good and mutated, read by the proxy's parser and by two others: python3-h11 and
Python's own http.client. What the proxy accepts, both others must accept, and all three must agree on
method, target, host, fields and on where the body ends: otherwise a request could mean one thing to
the proxy and another to the server behind it.

    http_differential_test.py --tool build/release/tests/http_heads [--count 20000] [--seed 1]
"""
import argparse
import base64
import http.client
import io
import json
import random
import subprocess
import sys

import h11

GOOD = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /p?q=1&r HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nhost: [::1]:80\r\nCookie: a=b\r\nCookie: c=d\r\nX-A:  b \t\r\n\r\n",
    b"GET http://a/x HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n",
    b"GET /x HTTP/1.0\r\nX-A: b\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
]
MUST_ACCEPT = [head for head in GOOD if b"\xc3\xa9 HTTP" not in head]
PIECES = [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"0", b"+", b"-", b"_", b"\x7f", b"\xff",
          b"Content-Length: 5\r\n", b"content-length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
          b"Transfer-Encoding: identity\r\n", b"Host: b\r\n", b"X: y\r\n z\r\n", b"chunked", b"\x0b", b"\x85", b"#",
          b"HTTP/1.1", b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding : chunked\r\n"]
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"http2-settings", b"host",
              b"transfer-encoding"}


def mutate(rng, head):
    head = bytearray(head)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(head) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            head[at:at] = rng.choice(PIECES)
        elif kind == 1 and at < len(head):
            del head[at]
        elif kind == 2 and at < len(head):
            head[at] = rng.randrange(256)
        elif kind == 3:
            # A whole line, at a place where lines begin.
            starts = [i + 2 for i in range(len(head) - 1) if head[i:i + 2] == b"\r\n"]
            if starts:
                where = rng.choice(starts)
                head[where:where] = rng.choice([piece for piece in PIECES if piece.endswith(b"\r\n")])
        elif at < len(head):
            other = rng.randrange(len(head))
            head[at], head[other] = head[other], head[at]
    return bytes(head)


def by_h11(head):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(head)
    event = connection.next_event()
    if not isinstance(event, h11.Request):
        raise ValueError(f"no request: {event}")
    fields = [(bytes(name).lower(), bytes(value)) for name, value in event.headers]
    return event.method, event.target, fields


def by_http_client(head):
    line, rest = head.split(b"\r\n", 1)
    method, target, _ = line.split(b" ")
    parsed = http.client.parse_headers(io.BytesIO(rest))
    if parsed.defects:
        raise ValueError(f"defects: {parsed.defects}")
    fields = [(name.lower().encode("latin-1"), value.strip(" \t").encode("latin-1")) for name, value in parsed.items()]
    return method, target, fields


def disagreement(answer, method, target, fields):
    """Why another reading is not ours; None when it is."""
    text = lambda name: bytes.fromhex(answer[name])
    if method != text("method"):
        return f"method {method!r}"
    path, host = text("path"), [value for name, value in fields if name == b"host"]
    if target.lower().startswith((b"http://", b"https://")):
        target = target.split(b"//", 1)[1]
        end = min([at for at in (target.find(b"/"), target.find(b"?")) if at >= 0] or [len(target)])
        target = target[end:] if target[end:].startswith(b"/") else b"/" + target[end:]
        if method == b"OPTIONS" and target == b"/":
            target = path
    if target != path:
        return f"target {target!r}"
    if len(host) > 1 or (host and host[0] != text("authority")):
        return f"host {host!r}"
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    if (codings == [b"chunked"]) != answer["chunked"] or (codings and codings != [b"chunked"]):
        return f"codings {codings!r}"
    if [str(answer["length"]).encode()] != ([str(int(value)).encode() for value in lengths] or [b"-1"]):
        return f"lengths {lengths!r}"
    nominated = {option.strip().lower() for name, value in fields if name == b"connection" for option in value.split(b",")}
    dropped = HOP_BY_HOP | ({b"expect"} if answer["http10"] else set())  # an HTTP/1.0 request cannot expect
    theirs = sorted((name, value) for name, value in fields if name not in dropped and
                    (name not in nominated or name in (b"content-length", b"expect")))
    ours = sorted((bytes.fromhex(name).lower(), bytes.fromhex(value)) for name, value in answer["fields"])
    return None if theirs == ours else f"fields {theirs!r}, ours {ours!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    heads = MUST_ACCEPT + [mutate(rng, rng.choice(GOOD)) for _ in range(options.count)]
    ran = subprocess.run([options.tool], input=b"".join(base64.b64encode(head) + b"\n" for head in heads),
                         stdout=subprocess.PIPE, check=True)
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answers) == len(heads)
    failures, accepted = [], 0
    for number, (head, answer) in enumerate(zip(heads, answers)):
        if answer["fault"] != "none":
            if number < len(MUST_ACCEPT):
                failures.append((head, f"refused: {answer['fault']}"))
            continue
        accepted += 1
        answer["http10"] = head.split(b"\r\n", 1)[0].endswith(b"1.0")
        head = head[:head.index(b"\r\n\r\n") + 4]
        for name, read in (("h11", by_h11), ("http.client", by_http_client)):
            try:
                why = disagreement(answer, *read(head))
            except (h11.RemoteProtocolError, ValueError, http.client.HTTPException) as error:
                why = f"refuses: {error}"
            if why:
                failures.append((head, f"{name}: {why}"))
    for head, why in failures[:20]:
        print(f"{head!r}\n    {why}")
    print(f"{len(heads)} heads, {accepted} accepted by the proxy, {len(failures)} disagreements")
    return 1 if failures or accepted < options.count // 50 else 0


if __name__ == "__main__":
    sys.exit(main())
