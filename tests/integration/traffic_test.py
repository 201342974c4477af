#!/usr/bin/env python3
"""Routes from end to end with real programs: a plain client -> the shop's proxy, which routes == mutual TLS == to the proxy of
one of two versions of a service, each with an identity of its own -> its plain backend. Weights are shifted by editing a
file while a client keeps its connection.

usage: traffic_test.py --bin DIR
Needs what http_proxies_test.py needs.
"""
import argparse
import http.client
import http.server
import json
import os
import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from proxy_world import PATIENCE, ProxyWorld  # pylint: disable=wrong-import-position

NAMES = ("stable", "canary")


class Version(http.server.ThreadingHTTPServer):
    """A version of the service: answers its name and what it was asked for."""

    def __init__(self, name):
        paths = self.paths = []

        class Handler(http.server.BaseHTTPRequestHandler):
            """Of this version."""
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                paths.append((self.command, self.path))
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.send_header("X-Stage", self.headers.get("X-Stage", "none"))
                self.end_headers()
                self.wfile.write(name.encode())

            do_POST = do_GET  # pylint: disable=invalid-name

            def log_message(self, format, *args):  # pylint: disable=redefined-builtin
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class World(ProxyWorld):
    """Everything, started once."""

    def build(self):
        self.versions = {}
        proxies = {name: self.make_proxy(name) for name in (*NAMES, "shop")}
        for name in NAMES:
            self.versions[name] = Version(name)
            proxies[name].run({"inbound": [{
                "name": "web", "listen": "127.0.0.1:0", "protocol": "http",
                "forward": f"127.0.0.1:{self.versions[name].server_port}",
                "allow": [{"id": "spiffe://example.org/shop"}]}]})
            self.keep(proxies[name])
        self.peers = {name: proxies[name].listener("web") for name in NAMES}
        self.shop = proxies["shop"]
        self.rules = os.path.join(self.shop.folder, "rules.yaml")
        self.write_rules(self.routes(100, 0))
        self.shop.run({"rules_file": self.rules,
                       "outbound": [{"name": "web", "listen": "127.0.0.1:0", "protocol": "http",
                                     "forward": self.peers["stable"],
                                     "expect": [{"id": "spiffe://example.org/stable"}]}]})
        self.keep(self.shop)

    def routes(self, stable, canary):
        backends = [{"name": name, "expect": [{"id": f"spiffe://example.org/{name}"}],
                     "endpoints": [{"address": self.peers[name]}]} for name in NAMES]
        rules = [
            {"name": "split", "backendRefs": [{"name": "stable", "weight": stable},
                                              {"name": "canary", "weight": canary}]},
            {"name": "beta", "matches": [{"headers": [{"name": "x-beta", "value": "1"}]}],
             "backendRefs": [{"name": "canary"}],
             "filters": [{"type": "RequestHeaderModifier",
                          "requestHeaderModifier": {"set": [{"name": "x-stage", "value": "beta"}]}}]},
            {"name": "moved", "matches": [{"path": {"value": "/old"}}],
             "filters": [{"type": "RequestRedirect", "requestRedirect": {
                 "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}]},
            {"name": "mirrored", "matches": [{"path": {"value": "/mirrored"}}], "backendRefs": [{"name": "stable"}],
             "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "canary"}}}]},
        ]
        return {"outbound": [{"name": "web", "backends": backends, "routes": [{"name": "web", "rules": rules}]}]}

    def write_rules(self, rules):
        """The file is replaced by a move, as editors do."""
        pathlib.Path(self.rules + ".new").write_text(json.dumps(rules), encoding="utf-8")
        os.rename(self.rules + ".new", self.rules)

    def reloads(self, line):
        return self.shop.text().count(line)

    def stop(self):
        super().stop()
        for version in getattr(self, "versions", {}).values():
            version.shutdown()
            version.server_close()


class Routes(unittest.TestCase):
    """By the shop's outbound listener."""

    def setUp(self):
        host, port = WORLD.shop.listener("web").rsplit(":", 1)
        self.client = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        self.addCleanup(self.client.close)
        for version in WORLD.versions.values():
            version.paths.clear()

    def ask(self, path="/", method="GET", body=None, headers=None):
        self.client.request(method, path, body=body, headers=headers or {})
        response = self.client.getresponse()
        return response.status, response.headers, response.read().decode()

    def apply(self, rules, line="configuration reloaded"):
        before = WORLD.reloads(line)
        WORLD.write_rules(rules)
        WORLD.shop.until(lambda: WORLD.reloads(line) > before, line)

    def test_weights_shift_under_a_connection_that_stays(self):
        self.assertEqual({self.ask()[2] for _ in range(20)}, {"stable"})
        socket = self.client.sock
        self.apply(WORLD.routes(0, 100))
        self.assertEqual({self.ask()[2] for _ in range(20)}, {"canary"})
        self.apply(WORLD.routes(50, 50))
        seen = [self.ask()[2] for _ in range(200)]
        self.assertEqual(set(seen), set(NAMES))
        self.assertIs(self.client.sock, socket)
        self.apply(WORLD.routes(100, 0))

    def test_a_bad_file_is_refused_whole_and_the_old_routes_stay(self):
        bad = WORLD.routes(0, 100)
        bad["outbound"][0]["routes"][0]["rules"][1]["backendRefs"] = [{"name": "nobody"}]
        self.apply(bad, "there is no backend 'nobody'")
        self.assertEqual({self.ask()[2] for _ in range(10)}, {"stable"})
        self.apply(WORLD.routes(100, 0))

    def test_a_header_chooses_and_another_is_set(self):
        status, fields, body = self.ask(headers={"X-Beta": "1", "X-Stage": "forged"})
        self.assertEqual((status, body, fields["X-Stage"]), (200, "canary", "beta"))

    def test_a_redirect_reaches_no_backend(self):
        status, fields, _ = self.ask("/old/shoes?size=9", headers={"Host": "shop.example.org"})
        self.assertEqual((status, fields["Location"]), (302, "http://shop.example.org/new/shoes?size=9"))
        self.assertEqual([version.paths for version in WORLD.versions.values()], [[], []])

    def test_a_mirror_sees_reads_and_no_writes(self):
        self.assertEqual(self.ask("/mirrored/write", "POST", b"once")[2], "stable")
        self.assertEqual(self.ask("/mirrored/read")[2], "stable")
        canary = WORLD.versions["canary"].paths
        WORLD.shop.until(lambda: canary, "copied")
        self.assertEqual(canary, [("GET", "/mirrored/read")])


if __name__ == "__main__":
    PARSER = argparse.ArgumentParser()
    PARSER.add_argument("--bin", required=True)
    OPTIONS, REST = PARSER.parse_known_args()
    WORLD = World(OPTIONS.bin)
    try:
        PROGRAM = unittest.main(argv=[sys.argv[0], *REST], exit=False)
    finally:
        WORLD.stop()
    sys.exit(not PROGRAM.result.wasSuccessful())
