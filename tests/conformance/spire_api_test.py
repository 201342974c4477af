#!/usr/bin/env python3
"""Runs the recorded scenarios of the SPIRE server API against signet-server.

Each scenario gets a fresh server on an empty data directory. The format is tests/data/spire-api/README.md; where our
answer differs on purpose, tests/data/spire-api-differences.json says so with the reason, and nowhere else; an answer
listed there that is as recorded fails too, so the list holds nothing that is not needed. Every scenario of the folder
runs.

usage: spire_api_test.py --bin DIR|--spire BINARY [--scenario NAME …] [--list] [--verbose]
Closes with "N passed, N failed". Needs python3-grpcio, python3-protobuf, python3-cryptography, protoc.
"""
import argparse
import base64
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

import summaries

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "tests/data"
SETS = {"entries", "agents", "bundles", "federation_relationships", "selectors", "federates_with", "dns_names",
        "x509_authorities", "jwt_authorities", "entry_revisions"}
TOLERANCE = 20


class Mismatch(Exception):
    """An answer that is not the recorded one; says where."""


def load_pool():
    with tempfile.NamedTemporaryFile() as out:
        protos = [str(p.relative_to(SOURCE / "proto")) for p in (SOURCE / "proto").rglob("*.proto")]
        subprocess.run(["protoc", "-I", str(SOURCE / "proto"), "--include_imports", f"--descriptor_set_out={out.name}",
                        *protos], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


class TlsBridge:
    """A Unix socket that leads, over TLS as one caller, to the server's TCP port; the server is not verified."""

    def __init__(self, folder, port, identity):
        self.path = os.path.join(folder, f"bridge-{id(self)}.sock")
        self.port, self.identity = port, identity
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        if self.identity:
            chain, key = self.identity
            with tempfile.NamedTemporaryFile("w") as pem:
                pem.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                            serialization.NoEncryption()).decode())
                for der in chain:
                    pem.write(ssl.DER_cert_to_PEM_cert(der))
                pem.flush()
                context.load_cert_chain(pem.name)
        return context

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return self.context().wrap_socket(plain)

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        try:
            far = self.connect()
        except OSError:
            near.close()
            return
        far.setblocking(False)
        near.setblocking(False)
        self._pump(near, far)
        near.close()
        far.close()

    @staticmethod
    def _pump(near, far):
        import selectors
        selector = selectors.DefaultSelector()
        selector.register(near, selectors.EVENT_READ)
        selector.register(far, selectors.EVENT_READ)

        def send(target, data):
            view = memoryview(data)
            while view:
                try:
                    view = view[target.send(view):]
                except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    time.sleep(0.001)

        while True:
            for key, _ in selector.select():
                source, target = (near, far) if key.fileobj is near else (far, near)
                try:
                    while True:
                        data = source.recv(65536)
                        if not data:
                            return
                        send(target, data)
                        if source is near or not far.pending():
                            break
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue
                except OSError:
                    return

    def close(self):
        self.listener.close()


class Server:
    """A signet-server process on an empty data directory."""

    def __init__(self, binaries, folder, config):
        self.folder = folder
        self.admin = os.path.join(folder, "admin.sock")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = {"trust_domain": "example.org", "data_dir": os.path.join(folder, "data"),
                    "listen": f"127.0.0.1:{self.port}", "admin_socket": self.admin, "log": {"level": "error"},
                    "ratelimit": {"attestation": False, "signing": False}}
        settings.update(config)
        path = os.path.join(folder, "server.yaml")
        pathlib.Path(path).write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        self.start([os.path.join(binaries, "signet-server"), "run", "--config", path])

    def start(self, command):
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def wait_ready(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise Mismatch("signet-server did not start:\n" + self.log.read())
            try:
                with grpc.insecure_channel("unix:" + self.admin) as channel:
                    channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=1)
                    return
            except grpc.RpcError:
                time.sleep(0.02)
        raise Mismatch("signet-server was not ready within 20 s")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class SpireServer(Server):
    """A real SPIRE server in the same place: shows that the runner itself is right."""

    def __init__(self, binary, folder, config):  # pylint: disable=super-init-not-called
        self.folder = folder
        self.admin = os.path.join(folder, "admin.sock")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        data = os.path.join(folder, "data")
        os.mkdir(data)
        settings = {"trust_domain": "example.org", "bind_address": "127.0.0.1", "bind_port": self.port,
                    "socket_path": self.admin, "data_dir": data, "log_level": "ERROR", "ca_key_type": "ec-p256",
                    "ratelimit": {"attestation": False, "signing": False}}
        config = dict(config)
        experimental = {"cache_reload_interval": "1s", **config.pop("experimental", {})}
        settings.update(config, experimental=experimental)
        path = os.path.join(folder, "server.json")
        pathlib.Path(path).write_text(json.dumps({"server": settings, "plugins": {
            "DataStore": {"sql": {"plugin_data": {"database_type": "sqlite3", "connection_string": data + "/db"}}},
            "KeyManager": {"memory": {"plugin_data": {}}}, "NodeAttestor": {"join_token": {"plugin_data": {}}}}}))
        self.start([binary, "run", "-config", path])


class Run:
    """One scenario against one server."""

    def __init__(self, scenario, arguments, pool, differences, folder):
        self.scenario, self.pool, self.differences, self.folder = scenario, pool, differences, folder
        self.factory = message_factory.MessageFactory(pool)
        self.forge = summaries.Forge()
        self.variables, self.identities, self.channels, self.bridges = {}, {"anonymous": None}, {}, []
        self.remarks = []
        kind, binary = (SpireServer, arguments.spire) if arguments.spire else (Server, arguments.bin)
        self.server = kind(binary, folder, scenario.get("config") or {})

    def close(self):
        for channel in self.channels.values():
            channel.close()
        for bridge in self.bridges:
            bridge.close()
        self.server.stop()

    # --- texts -------------------------------------------------------------------------------------------------

    def expand(self, value):
        if isinstance(value, dict):
            return {k: self.expand(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v) for v in value]
        if not isinstance(value, str):
            return value
        while True:
            match = re.search(r"\$\{([^${}]*)\}", value)
            if not match:
                return value
            value = value[:match.start()] + self.replacement(match.group(1)) + value[match.end():]

    def replacement(self, text):
        name, colon, rest = text.partition(":")
        if re.fullmatch(r"now([+-]\d+)?", text):
            return str(int(time.time()) + int(text[3:] or 0))
        if not colon and name != "csr":
            if text not in self.variables:
                raise Mismatch(f"variable {text} was never saved")
            return str(self.variables[text])
        encode = lambda data: base64.b64encode(data).decode()
        if name == "b64":
            return encode(rest.encode())
        if name == "repeat":
            letters, _, count = rest.rpartition("*")
            return letters * int(count)
        options = [o for o in rest.split(";") if o]
        if name == "csr":
            return encode(self.forge.request(options))
        if name == "ca":
            domain = next((o[3:] for o in options[1:] if o.startswith("td=")), "example.org")
            return encode(self.forge.authority(options[0], domain)[0].public_bytes(serialization.Encoding.DER))
        if name == "pubkey":
            return encode(self.forge.public_key(options[0], (options[1:] or ["ec-p256"])[0]))
        raise Mismatch(f"unknown text ${{{text}}}")

    # --- calls -------------------------------------------------------------------------------------------------

    def channel(self, caller):
        if caller not in self.channels:
            if caller == "admin":
                target = "unix:" + self.server.admin
            else:
                if caller not in self.identities:
                    raise Mismatch(f"caller {caller} was never made")
                bridge = TlsBridge(self.folder, self.server.port, self.identities[caller])
                self.bridges.append(bridge)
                target = "unix:" + bridge.path
            self.channels[caller] = grpc.insecure_channel(target, options=[
                ("grpc.max_receive_message_length", -1), ("grpc.default_authority", "localhost"),
                ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.enable_retries", 0)])
        return self.channels[caller]

    def method(self, path):
        service, _, name = path.lstrip("/").rpartition("/")
        try:
            return self.pool.FindServiceByName(service).FindMethodByName(name)
        except KeyError:
            return None

    def call(self, caller, path, messages):
        """-> (code name, message, details, [response messages as dicts])"""
        descriptor = self.method(path)
        channel = self.channel(caller)
        if descriptor is None:
            call = channel.unary_unary(path)
            try:
                call(b"", timeout=15)
                return "OK", "", [], []
            except grpc.RpcError as error:
                return error.code().name, error.details(), [], []
        request_type = self.factory.GetPrototype(descriptor.input_type)
        response_type = self.factory.GetPrototype(descriptor.output_type)
        requests = [json_format.ParseDict(m, request_type(), descriptor_pool=self.pool) for m in messages]
        responses = []
        kind = ("stream" if descriptor.client_streaming else "unary") + "_" + (
            "stream" if descriptor.server_streaming else "unary")
        call = getattr(channel, kind)(path, request_serializer=request_type.SerializeToString,
                                      response_deserializer=response_type.FromString)
        try:
            if kind == "unary_unary":
                responses.append(call(requests[0], timeout=15))
            elif kind == "unary_stream":
                responses.extend(call(requests[0], timeout=15))
            else:
                self._lockstep(call, requests, responses)
            code, message, details = "OK", "", []
        except grpc.RpcError as error:
            code, message, details = error.code().name, error.details(), self.details(error)
        as_dicts = [json_format.MessageToDict(r, preserving_proto_field_name=True, descriptor_pool=self.pool)
                    for r in responses]
        return code, message, details, as_dicts

    @staticmethod
    def _lockstep(call, requests, responses):
        """Sends each request after the answer (all parts of it) to the one before."""
        import queue
        outgoing = queue.Queue()
        stream = call(iter(outgoing.get, None), timeout=15)
        try:
            for request in requests:
                outgoing.put(request)
                while True:
                    try:
                        responses.append(next(stream))
                    except StopIteration:
                        return
                    if not getattr(responses[-1], "more", False):
                        break
            outgoing.put(None)
            responses.extend(stream)
        finally:
            outgoing.put(None)

    def details(self, error):
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = self.factory.GetPrototype(self.pool.FindMessageTypeByName("google.rpc.Status")).FromString(value)
                details = []
                for held in status.details:
                    name = held.type_url.rpartition("/")[2]
                    message = self.factory.GetPrototype(self.pool.FindMessageTypeByName(name)).FromString(held.value)
                    details.append({"type": name, "value": json_format.MessageToDict(
                        message, preserving_proto_field_name=True, descriptor_pool=self.pool)})
                return details
        return []

    def must(self, caller, path, request):
        code, message, _, responses = self.call(caller, path, [self.expand(request)])
        if code != "OK":
            raise Mismatch(f"built-in call {path} failed: {code} {message}")
        return responses[0]

    # --- built-in steps ----------------------------------------------------------------------------------------

    @staticmethod
    def at(value, path):
        for part in path.split("."):
            if isinstance(value, list):
                value = value[int(part)] if int(part) < len(value) else ""
            else:
                value = value.get(part, "") if isinstance(value, dict) else ""
        return value

    def become(self, caller, key, chain):
        ders = [base64.b64decode(c) for c in chain]
        self.identities[caller] = (ders, key)
        if caller in self.channels:
            self.channels.pop(caller).close()
        leaf = x509.load_der_x509_certificate(ders[0])
        uri = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier)[0]
        self.variables.update({f"{caller}.id": uri, f"{caller}.id.path": "/" + uri.split("/", 3)[3],
                               f"{caller}.serial": str(leaf.serial_number)})

    def do_attest(self, step):
        request = {"ttl": 600}
        if step.get("token"):
            request["token"] = step["token"]
        if step.get("agent_id"):
            request["agent_id"] = {"trust_domain": "example.org", "path": step["agent_id"]}
        token = self.must("admin", "/spire.api.server.agent.v1.Agent/CreateJoinToken", request)["value"]
        self.variables[step["caller"] + ".token"] = token
        key_name = "attest:" + step["caller"]
        params = {"params": {"data": {"type": "join_token", "payload": base64.b64encode(token.encode()).decode()},
                             "params": {"csr": "${csr:key=" + key_name + "}"}}}
        code, message, _, responses = self.call("anonymous", "/spire.api.server.agent.v1.Agent/AttestAgent",
                                                [self.expand(params)])
        if code != "OK":
            raise Mismatch(f"attest failed: {code} {message}")
        self.become(step["caller"], self.forge.named_key(key_name), responses[-1]["result"]["svid"]["cert_chain"])

    def do_svid(self, step):
        caller = step["caller"]
        spiffe_id = {"trust_domain": "example.org", "path": step["id"]}
        if "entry" in step:
            entry = {"spiffe_id": spiffe_id, "parent_id": {"trust_domain": "example.org", "path": "/some/parent"},
                     "selectors": [{"type": "test", "value": caller}], **step["entry"]}
            result = self.must("admin", "/spire.api.server.entry.v1.Entry/BatchCreateEntry", {"entries": [entry]})["results"][0]
            if result["status"].get("code"):
                raise Mismatch(f"entry of {caller}: {result['status']}")
            self.variables[caller + ".entry"] = result["entry"]["id"]
        key_name = "svid:" + caller
        request = {"csr": "${csr:key=" + key_name + ";uri=spiffe://example.org" + step["id"] + "}"}
        if "ttl" in step:
            request["ttl"] = step["ttl"]
        answer = self.must("admin", "/spire.api.server.svid.v1.SVID/MintX509SVID", request)
        self.become(caller, self.forge.named_key(key_name), answer["svid"]["cert_chain"])

    def do_foreign(self, step):
        leaf, key = self.forge.foreign_leaf(step["ca"], step.get("id"))
        self.identities[step["caller"]] = ([leaf.public_bytes(serialization.Encoding.DER)], key)

    def do_wait_authorized(self, step):
        wanted = set(self.expand(step["ids"]))
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline:
            answer = self.must(step["as"], "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries", {"output_mask": {}})
            held = {entry["id"] for entry in answer.get("entries", [])}
            if held == wanted:
                return
            time.sleep(0.1)
        raise Mismatch(f"authorized entries are {sorted(held)}, expected {sorted(wanted)}")

    def do_many_entries(self, step):
        names = [f"many-{n:04d}" for n in range(1, step["count"] + 1)]
        parent = self.expand(step["ids"][0])
        entries = [{"id": n, "spiffe_id": {"trust_domain": "example.org", "path": "/" + n},
                    "parent_id": {"trust_domain": "example.org", "path": parent},
                    "selectors": [{"type": "test", "value": n}]} for n in names]
        answer = self.must("admin", "/spire.api.server.entry.v1.Entry/BatchCreateEntry", {"entries": entries})
        failed = [r for r in answer["results"] if r["status"].get("code")]
        if failed:
            raise Mismatch(f"many_entries: {failed[0]}")
        self.do_wait_authorized({"as": step.get("agent", "agent"), "ids": names})

    @staticmethod
    def do_sleep(step):
        time.sleep(step["seconds"])

    def tls_peer(self):
        with TlsBridge(self.folder, self.server.port, None).connect() as peer:
            return {"alpn": peer.selected_alpn_protocol(),
                    "cert_chain": [base64.b64encode(peer.getpeercert(binary_form=True)).decode()]}

    # --- comparison --------------------------------------------------------------------------------------------

    def bundle(self):
        answer = self.must("admin", "/spire.api.server.bundle.v1.Bundle/GetBundle", {})
        certificates = [x509.load_der_x509_certificate(base64.b64decode(a["asn1"]))
                        for a in answer.get("x509_authorities", []) if a.get("asn1")]
        keys = {k["key_id"]: (serialization.load_der_public_key(base64.b64decode(k["public_key"])),
                              k.get("expires_at")) for k in answer.get("jwt_authorities", []) if self.is_key(k)}
        return certificates, keys

    @staticmethod
    def is_key(authority):
        try:
            serialization.load_der_public_key(base64.b64decode(authority.get("public_key", "")))
            return True
        except ValueError:
            return False

    def match(self, expected, actual, where, ordered):
        if isinstance(expected, dict) and len(expected) == 1 and next(iter(expected)).startswith("<"):
            token = next(iter(expected))
            return self.match_token(token, expected[token], actual, where, ordered)
        if isinstance(expected, dict):
            return self.match_object(expected, actual, where, ordered)
        if isinstance(expected, list):
            return self.match_list(expected, actual, where, ordered)
        if isinstance(expected, str):
            return self.match_text(expected, actual, where)
        if expected != actual:
            raise Mismatch(f"{where}: {actual!r}, recorded {expected!r}")
        return None

    def match_object(self, expected, actual, where, ordered):
        if not isinstance(actual, dict):
            raise Mismatch(f"{where}: {actual!r}, recorded an object")
        actual = {k: v for k, v in actual.items() if k != "uptime"}
        for key in sorted(expected.keys() - actual.keys()):
            raise Mismatch(f"{where}.{key}: absent, recorded {expected[key]!r}")
        for key in sorted(actual.keys() - expected.keys()):
            raise Mismatch(f"{where}.{key}: {actual[key]!r}, recorded nothing")
        for key, value in expected.items():
            if key == "message" and where.endswith("status"):
                if value != actual[key]:
                    self.remarks.append(f"{where}.message: {actual[key]!r}, recorded {value!r}")
                continue
            self.match(value, actual[key], f"{where}.{key}", ordered)

    def match_list(self, expected, actual, where, ordered):
        if not isinstance(actual, list) or len(expected) != len(actual):
            raise Mismatch(f"{where}: {len(actual) if isinstance(actual, list) else actual!r} elements, "
                           f"recorded {len(expected)}: {str(actual)[:300]}")
        if where.rpartition(".")[2] not in SETS or ordered:
            for i, (e, a) in enumerate(zip(expected, actual)):
                if where.endswith("cert_chain") or where.endswith("x509_authorities"):
                    self.match(e, a, f"{where}.{i}", ordered)
                else:
                    self.match(e, a, f"{where}.{i}", ordered)
            return
        left, last = list(actual), None
        for e in expected:
            for candidate in left:
                try:
                    self.match(e, candidate, where + ".*", ordered)
                except Mismatch as mismatch:
                    last = mismatch
                    continue
                left.remove(candidate)
                break
            else:
                raise last or Mismatch(f"{where}: nothing fits {e!r}")

    def match_text(self, expected, actual, where):
        time_token = re.fullmatch(r"<time([+-]\d+)?>", expected)
        if time_token:
            wanted = time.time() + int(time_token.group(1) or 0)
            if not str(actual).lstrip("-").isdigit() or abs(int(actual) - wanted) > TOLERANCE:
                raise Mismatch(f"{where}: {actual!r} is not {expected} ({wanted:.0f})")
            return
        pattern = ""
        for part in re.split(r"(\$\{[^${}]*\}|<[a-z_]+>|<.\*\d+>)", expected):
            if part.startswith("${"):
                pattern += re.escape(self.expand(part))
            elif part == "<uuid>":
                pattern += "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
            elif part == "<serial>":
                pattern += r"\d{12,}"
            elif part in ("<kid>", "<skid>", "<page_token>", "<bytes>", "<jti>"):
                pattern += ".+"
            elif re.fullmatch(r"<.\*\d+>", part):
                pattern += re.escape(part[1]) + "{" + part[3:-1] + "}"
            else:
                pattern += re.escape(part)
        if not isinstance(actual, str) or not re.fullmatch(pattern, actual, re.S):
            raise Mismatch(f"{where}: {actual!r}, recorded {expected!r}")

    def match_token(self, token, expected, actual, where, ordered):
        if token == "<list of>":
            if not isinstance(actual, list) or len(actual) != expected:
                raise Mismatch(f"{where}: recorded a list of {expected}")
        elif token == "<public_key>":
            kind = summaries.key_kind(serialization.load_der_public_key(base64.b64decode(actual)))
            if kind != expected:
                raise Mismatch(f"{where}: key of kind {kind}, recorded {expected}")
        elif token == "<cert>":
            self.match_certificate(expected, base64.b64decode(actual), where)
        elif token == "<jwt>":
            self.match_jwt(expected, actual, where, ordered)
        else:
            raise Mismatch(f"{where}: the runner does not know {token}")

    def match_certificate(self, expected, der, where):
        authorities, _ = self.bundle()
        now = int(time.time())
        place = "bundle" if "self_signed" in expected else "chain"
        actual = summaries.certificate_summary(der, place, authorities, now)
        expected = dict(expected)
        if expected.pop("chains_to_bundle", False):
            chain = [x509.load_der_x509_certificate(der)]
            if not summaries.chains_to(chain, authorities, now):
                raise Mismatch(f"{where}: does not chain to the bundle")
        if expected.get("validity_seconds") == "<to end of authority>":
            if not actual["ends_with_authority"]:
                raise Mismatch(f"{where}: does not end with an authority")
            expected.pop("validity_seconds")
            actual.pop("validity_seconds")
        actual.pop("ends_with_authority")
        expected = {k: v for k, v in expected.items() if v is not None}
        for rule in self.differences["certificates"]:
            if expected.get(rule["field"]) == rule["recorded"] and re.match(rule["keys"], expected.get("key", "")):
                expected[rule["field"]] = rule["ours"]
        self.match(expected, actual, where + ".<cert>", True)

    def match_jwt(self, expected, token, where, ordered):
        _, keys = self.bundle()
        actual = summaries.jwt_summary(token, keys)
        expected = json.loads(json.dumps(expected))
        claims, wanted = actual["claims"], expected["claims"]
        end = wanted.get("exp")
        if end == "<end of key>":
            if str(claims.get("exp")) != str(actual["key_expires_at"]):
                raise Mismatch(f"{where}: exp is not the end of the key")
        elif isinstance(end, str) and end.startswith("<iat"):
            if claims.get("exp") != claims["iat"] + int(end[4:-1]):
                raise Mismatch(f"{where}: exp {claims.get('exp')}, recorded {end}")
        else:
            self.match(end, claims.get("exp"), where + ".exp", ordered)
        for held in (claims, wanted):
            held.pop("exp", None)
        actual.pop("key_expires_at")
        self.match(expected, actual, where + ".<jwt>", ordered)

    # --- running -----------------------------------------------------------------------------------------------

    def difference(self, number):
        """-> what is expected in place of what was recorded, None where it is what was recorded."""
        for difference in self.differences["steps"]:
            if difference["scenario"] == self.scenario["name"] and difference["step"] == number:
                return difference["expect"]
        return None

    def run_call(self, number, step):
        messages = self.expand(step.get("stream") or [step.get("request") or {}])
        code, message, details, responses = self.call(step["as"], step["method"], messages)
        if code == "OK" and responses:
            for name, path in (step.get("save") or {}).items():
                self.variables[name] = self.at(responses[-1], path)
            if "become" in step:
                spec = step["become"]
                self.become(spec["caller"], self.forge.named_key(spec["key"]), self.at(responses[-1], spec["chain"]))
        self.check(number, step, code, message, details, responses)

    def check(self, number, step, *answer):
        """Mismatch unless the answer is as recorded; where it is listed as different, unless it is as listed."""
        listed = self.difference(number)
        if listed is None:
            self.check_against(step["expect"], number, step, *answer)
            return
        self.check_against(listed, number, step, *answer)
        remarks = list(self.remarks)
        try:
            self.check_against(step["expect"], number, step, *answer)
        except Mismatch:
            self.remarks[:] = remarks
            return
        raise Mismatch("is as recorded, but tests/data/spire-api-differences.json lists it as different")

    def check_against(self, expect, number, step, code, message, details, responses):
        if code != expect["code"]:
            raise Mismatch(f"code {code} ({message}), recorded {expect['code']} ({expect.get('message', '')})")
        if expect.get("message", "") not in (message, "<transport>"):
            self.remarks.append(f"step {number}: message {message!r}, recorded {expect.get('message', '')!r}")
        if (expect.get("details") or []) != details:
            raise Mismatch(f"details {details}, recorded {expect.get('details')}")
        if step.get("compare") == "code":
            return
        ordered = "page_size" in (step.get("request") or {})
        if "responses" in expect:
            self.match(expect["responses"], responses, "responses", ordered)
        elif "response" in expect:
            if len(responses) != 1:
                raise Mismatch(f"{len(responses)} responses, recorded one")
            actual = responses[0]
            if step.get("compare") == "shape":
                actual = self.shape(actual)
            self.match(expect["response"], actual, "response", ordered)

    def shape(self, value):
        if isinstance(value, dict):
            return {k: self.shape(v) for k, v in value.items()}
        return value

    def run(self):
        """-> what went wrong."""
        try:
            self.server.wait_ready()
        except Mismatch as mismatch:
            return [f"start: {mismatch}"]
        faults = []
        for number, step in enumerate(self.scenario["steps"]):
            try:
                if step.get("do") == "tls_peer":
                    self.match(step["expect"]["response"], self.tls_peer(), "response", True)
                elif "do" in step:
                    getattr(self, "do_" + step["do"])(step)
                else:
                    self.run_call(number, step)
            except Mismatch as mismatch:
                faults.append(f"step {number} ({step.get('as', '')} {step.get('method', step.get('do'))}): {mismatch}")
                if "do" in step:
                    break
        if self.server.process.poll() is not None:
            faults.append("the server died")
        return faults


def with_our_agent_ids(scenario):
    """The scenario with the IDs our server gives to agents of the join tokens it names (differences: agent_ids)."""
    text = json.dumps(scenario)
    for token in set(re.findall(r'"token": "([^"]+)"', text)):
        digest = hashlib.sha256(b"signet join token agent\n" + token.encode()).hexdigest()[:32]
        text = re.sub(f"/spire/agent/join_token/{re.escape(token)}(?=\")", f"/spire/agent/join_token/{digest}", text)
    return json.loads(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--bin", help="folder with signet-server")
    where.add_argument("--spire", help="a real spire-server: checks the runner, not us")
    parser.add_argument("--scenario", action="append", help="only this one; repeatable")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    parser.add_argument("--verbose", action="store_true", help="also print texts that differ")
    parser.add_argument("--folder", default=DATA / "spire-api", type=pathlib.Path)
    arguments = parser.parse_args()
    differences = json.loads((DATA / "spire-api-differences.json").read_text(encoding="utf-8"))
    scenarios = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(arguments.folder.glob("*.json"))]
    if arguments.spire:
        differences = {"certificates": [], "steps": []}
    else:
        scenarios = [with_our_agent_ids(s) for s in scenarios]
    pool = load_pool()
    chosen = [s for s in scenarios if not arguments.scenario or s["name"] in arguments.scenario]
    if arguments.list:
        print("\n".join(s["name"] for s in chosen))
        return 0

    def one(scenario):
        with tempfile.TemporaryDirectory(prefix="signet-") as folder:
            run = Run(scenario, arguments, pool, differences, folder)
            try:
                return scenario["name"], run.run(), run.remarks
            finally:
                run.close()

    passed = failed = calls = 0
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        for name, faults, remarks in workers.map(one, chosen):
            calls += len(next(s for s in chosen if s["name"] == name)["steps"])
            print(f"{'ok  ' if not faults else 'FAIL'} {name}" + (f" ({len(remarks)} texts differ)" if remarks else ""))
            for line in faults + (remarks if arguments.verbose else []):
                print(f"     {line}")
            passed, failed = passed + (not faults), failed + bool(faults)
    print(f"{calls} steps")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
