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
import json
import os
import pathlib
import re
import socket
import ssl
import sys
import tempfile
import threading
import time

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format

from processes import Server, SpireServer
from recorded import DATA, Mismatch, Recording, load_pool, our_agent_path


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


class Run(Recording):
    """One scenario against one server."""

    def __init__(self, scenario, arguments, pool, differences, folder):
        super().__init__(scenario, pool, differences)
        self.folder = folder
        self.identities, self.channels, self.bridges = {"anonymous": None}, {}, []
        kind, binary = (SpireServer, arguments.spire) if arguments.spire else (Server, arguments.bin)
        self.server = kind(binary, folder, scenario.get("config") or {})

    def close(self):
        for channel in self.channels.values():
            channel.close()
        for bridge in self.bridges:
            bridge.close()
        self.server.stop()

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
            code, message, details = error.code().name, error.details(), self.details(error.trailing_metadata())
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

    def must(self, caller, path, request):
        code, message, _, responses = self.call(caller, path, [self.expand(request)])
        if code != "OK":
            raise Mismatch(f"built-in call {path} failed: {code} {message}")
        return responses[0]

    # --- built-in steps ----------------------------------------------------------------------------------------

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

    # --- running -----------------------------------------------------------------------------------------------

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
        text = re.sub(f"/spire/agent/join_token/{re.escape(token)}(?=\")", our_agent_path(token), text)
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
