#!/usr/bin/env python3
"""A caller of gRPC sockets with a process of its own, so that it can have a user of its own.

Reads one order a line from stdin and answers each with one line, both JSON with bytes in base64; knows no message, only
bytes. Orders: call, open, send, half_close, receive, close. Ends with its stdin.
"""
import base64
import json
import os
import queue
import sys
import threading
import time

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.default_authority", "localhost"), ("grpc.enable_retries", 0),
           ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
KINDS = {(False, False): "unary_unary", (False, True): "unary_stream", (True, False): "stream_unary",
         (True, True): "stream_stream"}


class Stream:
    """One call on one connection, whatever its kind; what comes back is queued by a thread."""

    def __init__(self, order):
        self.channel = grpc.insecure_channel("unix:" + order["target"], options=OPTIONS)
        self.outgoing, self.incoming = queue.Queue(), queue.Queue()
        if order.get("then_user"):  # somebody else calls than connected
            grpc.channel_ready_future(self.channel).result(10)
            os.setresuid(*[order["then_user"]] * 3)
        kind = KINDS[(order["client_streaming"], order["server_streaming"])]
        method = getattr(self.channel, kind)(order["method"])
        request = base64.b64decode(order["request"]) if order.get("request") is not None else None
        options = {"metadata": [tuple(pair) for pair in order["headers"]], "timeout": order.get("deadline")}
        if order["client_streaming"]:
            if request is not None:
                self.outgoing.put(request)
            self.call = method(iter(self.outgoing.get, None), **options)
        elif order["server_streaming"]:
            self.call = method(request or b"", **options)
        else:
            self.call = method.future(request or b"", **options)
        threading.Thread(target=self._collect, args=(order["server_streaming"],), daemon=True).start()

    def _collect(self, many):
        try:
            for message in self.call if many else [self.call.result()]:
                self.incoming.put({"message": base64.b64encode(message).decode()})
            self.incoming.put({"ended": True, "code": "OK", "text": "", "metadata": []})
        except grpc.RpcError as error:
            metadata = [[k, base64.b64encode(v if isinstance(v, bytes) else v.encode()).decode()]
                        for k, v in error.trailing_metadata() or ()]
            self.incoming.put({"ended": True, "code": error.code().name, "text": error.details(), "metadata": metadata})

    def take(self, within, settle=None):
        """The next answer, or the last before `settle` seconds of silence; {} when there is none."""
        answer, taken = {}, 0
        deadline = time.monotonic() + within
        while True:
            try:
                answer = self.incoming.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                return {**answer, "taken": taken}
            taken += 1
            if answer.get("ended"):
                self.incoming.put(answer)  # an end stays the end
            if answer.get("ended") or settle is None:
                return {**answer, "taken": taken}
            deadline = time.monotonic() + settle

    def close(self):
        self.outgoing.put(None)
        self.call.cancel()
        self.channel.close()


def main():
    streams = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer = {}
        if order["do"] == "call":
            stream = Stream(order)
            answer = stream.take(order["within"])
            stream.close()
        elif order["do"] == "open":
            streams[order["on"]] = Stream(order)
        elif order["do"] == "send":
            streams[order["on"]].outgoing.put(base64.b64decode(order["request"]))
        elif order["do"] == "half_close":
            streams[order["on"]].outgoing.put(None)
        elif order["do"] == "receive":
            answer = streams[order["on"]].take(order["within"], order.get("settle"))
        elif order["do"] == "close":
            streams.pop(order["on"]).close()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
