#!/usr/bin/env python3
"""HTTP and gRPC from end to end with real programs: a plain client -> the shop's proxy == mutual TLS ==> the web's
proxy -> a plain backend, with identities from a server and an agent of ours. Clients and backends are Python's own HTTP
and gRPC, which know nothing of certificates.

usage: http_proxies_test.py --bin DIR
Needs python3-grpcio, and python3-protobuf and python3-cryptography for what it shares with tests/conformance.
"""
import argparse
import concurrent.futures
import http.client
import http.server
import os
import pathlib
import re
import socket
import sys
import threading
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from proxy_world import PATIENCE, ProxyWorld  # pylint: disable=wrong-import-position

import grpc  # pylint: disable=wrong-import-position,wrong-import-order

SHOP, WEB = "spiffe://example.org/shop", "spiffe://example.org/web"


class WebHandler(http.server.BaseHTTPRequestHandler):
    """Tells what it received; what was sent to it comes back. /catalogue/live is a WebSocket that echoes."""

    protocol_version = "HTTP/1.1"
    requests = []

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def answer(self):
        body = self.body()
        self.requests.append((self.command, self.path, self.headers))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):  # pylint: disable=invalid-name
        if self.headers.get("Upgrade") != "websocket":
            self.answer()
            return
        self.requests.append((self.command, self.path, self.headers))
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.close_connection = True
        while data := self.connection.recv(65536):
            self.connection.sendall(data)

    do_POST = answer  # pylint: disable=invalid-name

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class Backend(http.server.ThreadingHTTPServer):
    """Says nothing of connections that the proxy cut as it ended."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Orders(grpc.GenericRpcHandler):
    """Messages are bytes; each comes back. What the caller is said to be goes back in the trailers."""

    def __init__(self):
        self.calls = []

    def service(self, details):
        self.calls.append(details.method)
        metadata = dict(details.invocation_metadata)

        def echo(messages, context):
            context.set_trailing_metadata((("caller", metadata.get("signet-client-id", "nobody")),))
            yield from messages

        return grpc.stream_stream_rpc_method_handler(echo)


class World(ProxyWorld):
    """Everything, started once: a server, an agent, two backends and two proxies."""

    def build(self):
        self.web, self.shop = self.make_proxy("web"), self.make_proxy("shop")
        self.backend = Backend(("127.0.0.1", 0), WebHandler)
        threading.Thread(target=self.backend.serve_forever, daemon=True).start()
        self.orders = Orders()
        self.grpc_server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        self.grpc_server.add_generic_rpc_handlers((self.orders,))
        grpc_port = self.grpc_server.add_insecure_port("127.0.0.1:0")
        self.grpc_server.start()
        self.start_proxies(f"127.0.0.1:{self.backend.server_port}", f"127.0.0.1:{grpc_port}")

    def start_proxies(self, http_backend, grpc_backend):
        def inbound(name, protocol, forward, rule):
            return {"name": name, "listen": "127.0.0.1:0", "protocol": protocol, "forward": forward,
                    "allow": [{"id": SHOP, **rule}]}

        def outbound(name, protocol):
            return {"name": name, "listen": "127.0.0.1:0", "protocol": protocol, "forward": self.web.listener(name),
                    "expect": [{"id": WEB}]}

        self.web.run({"inbound": [
            inbound("web", "http", http_backend, {"methods": ["GET", "POST"], "paths": ["/catalogue/*"]}),
            inbound("orders", "grpc", grpc_backend, {"paths": ["/shop.Orders/Get"]})]})
        self.keep(self.web)
        self.shop.run({"outbound": [outbound("web", "http"), outbound("orders", "grpc")]})
        self.keep(self.shop)

    def stop(self):
        super().stop()
        if hasattr(self, "grpc_server"):
            self.grpc_server.stop(None).wait()
        if hasattr(self, "backend"):
            self.backend.shutdown()
            self.backend.server_close()


class HttpThroughProxies(unittest.TestCase):
    """Through the listeners that speak http."""

    def setUp(self):
        WebHandler.requests.clear()
        host, port = WORLD.shop.listener("web").rsplit(":", 1)
        self.client = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        self.addCleanup(self.client.close)

    def exchange(self, method, path, body=None, headers=None):
        self.client.request(method, path, body=body, headers=headers or {})
        response = self.client.getresponse()
        return response.status, response.headers, response.read()

    def test_the_application_is_told_the_verified_caller_and_nothing_else(self):
        forged = {"X-Forwarded-Client-Cert": "URI=spiffe://example.org/admin", "Signet-Client-Id": "admin",
                  "signet_client_id": "admin"}
        self.assertEqual(self.exchange("GET", "/catalogue/shoes?size=9", headers=forged)[0], 200)
        (method, path, fields), = WebHandler.requests
        self.assertEqual((method, path), ("GET", "/catalogue/shoes?size=9"))
        self.assertEqual(fields.get_all("signet-client-id"), [SHOP])
        told, = fields.get_all("x-forwarded-client-cert")
        self.assertRegex(told, f"^By={WEB};Hash=[0-9a-f]{{64}};URI={SHOP}$")
        self.assertNotIn("admin", str(fields))

    def test_one_path_is_allowed_and_another_refused_on_one_connection(self):
        self.assertEqual(self.exchange("GET", "/catalogue/shoes")[0], 200)
        status, fields, _ = self.exchange("GET", "/admin")
        self.assertEqual(status, 403)
        request_id = fields["signet-request-id"]
        self.assertTrue(request_id)
        WORLD.web.await_line(f"({re.escape(request_id)})")
        self.assertEqual(self.exchange("DELETE", "/catalogue/shoes")[0], 403)
        self.assertEqual(self.exchange("GET", "/catalogue/hats")[0], 200)
        self.assertEqual([path for _, path, _ in WebHandler.requests], ["/catalogue/shoes", "/catalogue/hats"])

    def test_a_path_with_two_meanings_does_not_get_past_the_rule(self):
        for path in ("/catalogue/../admin", "/catalogue/%2e%2e/admin", "/catalogue//../admin", "/catalogue\\..\\admin"):
            self.assertIn(self.exchange("GET", path)[0], (400, 403), path)
            self.client.close()
        self.assertEqual(WebHandler.requests, [])

    def test_bodies_of_megabytes_arrive_as_sent_with_a_length_and_in_chunks(self):
        body = os.urandom(3 << 20)
        self.assertEqual(self.exchange("POST", "/catalogue/shoes", body), (200, unittest.mock.ANY, body))
        pieces = (body[at:at + 100_000] for at in range(0, len(body), 100_000))
        self.assertEqual(self.exchange("POST", "/catalogue/shoes", pieces), (200, unittest.mock.ANY, body))

    def test_a_websocket_is_opened_where_the_rule_allows_it(self):
        host, port = WORLD.shop.listener("web").rsplit(":", 1)

        def upgrade(path):
            stream = socket.create_connection((host, int(port)), timeout=PATIENCE)
            self.addCleanup(stream.close)
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
            reader = stream.makefile("rb")
            self.addCleanup(reader.close)
            status = int(reader.readline().split()[1])
            while reader.readline() != b"\r\n":
                pass
            return stream, reader, status

        stream, reader, status = upgrade("/catalogue/live")
        self.assertEqual(status, 101)
        for message in (b"\x81\x05hello", os.urandom(200_000)):
            stream.sendall(message)
            self.assertEqual(reader.read(len(message)), message)
        self.assertEqual(upgrade("/admin/live")[2], 403)


class GrpcThroughProxies(unittest.TestCase):
    """Through the listeners that speak grpc: HTTP/2 on every leg."""

    def setUp(self):
        WORLD.orders.calls.clear()
        self.channel = grpc.insecure_channel(WORLD.shop.listener("orders"))
        self.addCleanup(self.channel.close)

    def call(self, method, messages):
        call = self.channel.stream_stream(method)(iter(messages), timeout=PATIENCE)
        try:
            return call, list(call)
        except grpc.RpcError:
            return call, None

    def test_messages_go_both_ways_and_the_caller_is_told(self):
        messages = [b"one", os.urandom(1 << 20), b"", b"three"]
        call, answers = self.call("/shop.Orders/Get", messages)
        self.assertEqual(call.code(), grpc.StatusCode.OK, call.details())
        self.assertEqual(answers, messages)
        self.assertEqual(dict(call.trailing_metadata())["caller"], SHOP)

    def test_many_calls_at_once_share_a_connection(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            messages = [[f"{i}-{j}".encode() for j in range(5)] for i in range(200)]
            answers = list(pool.map(lambda each: self.call("/shop.Orders/Get", each)[1], messages))
        self.assertEqual(answers, messages)

    def test_a_method_that_no_rule_allows_is_refused_by_trailers_alone(self):
        call, answers = self.call("/shop.Orders/Delete", [b"all"])
        self.assertIsNone(answers)
        self.assertEqual(call.code(), grpc.StatusCode.PERMISSION_DENIED, call.details())
        self.assertEqual(list(call.initial_metadata()), [])
        request_id = dict(call.trailing_metadata())["signet-request-id"]
        WORLD.web.await_line(f"({re.escape(request_id)})")
        self.assertEqual(WORLD.orders.calls, [])
        self.assertEqual(self.call("/shop.Orders/Get", [b"x"])[1], [b"x"])


def main():
    global WORLD  # pylint: disable=global-statement
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", required=True, help="the folder of the programs")
    arguments, others = parser.parse_known_args()
    WORLD = World(os.path.abspath(arguments.bin))
    try:
        program = unittest.main(argv=[sys.argv[0], *others], exit=False, verbosity=2)
    finally:
        WORLD.stop()
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
