#!/usr/bin/env python3
"""Runs the recorded scenarios of a SPIRE agent's sockets against signet-agent on a signet-server.

Each scenario gets a fresh server and agent on empty data directories. The format is tests/data/spire-agent/README.md;
where our answer differs on purpose, tests/data/spire-agent-differences.json says so with the reason, and nowhere else.
Callers are processes with users of their own, so the test must be run by root; by anybody else it is skipped (exit 77).

usage: spire_agent_test.py --bin DIR|--spire-server BINARY --spire-agent BINARY [--scenario NAME …] [--verbose]
Closes with "N passed, N failed". Needs python3-grpcio, python3-protobuf, python3-cryptography, protoc.
"""
import argparse
import base64
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf import json_format

from agent_answers import AgentRecording
from processes import Agent, Server, SpireAgent, SpireServer, spawn
from recorded import DATA, Mismatch, load_pool, our_agent_path

HEADER = {"workload.spiffe.io": ["true"]}
SKIPPED = 77


class Caller:
    """A process of its own, with a user of its own when `uid` is given."""

    def __init__(self, uid=None, groups=()):
        options = {"user": uid, "group": uid, "extra_groups": list(groups)} if uid is not None else {}
        program = pathlib.Path(__file__).with_name("caller_process.py")
        self.process = spawn([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, cwd="/", **options)

    def ask(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Mismatch("a caller's process died")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Pair:
    """A server and an agent on it, and whoever calls them."""

    def __init__(self, arguments, pool, folder, config):
        self.pool = pool
        os.chmod(folder, 0o755)
        os.mkdir(os.path.join(folder, "server"))
        self.callers, self.agent = {}, None
        ours = arguments.bin is not None
        make_server, program = (Server, arguments.bin) if ours else (SpireServer, arguments.spire_server)
        server_config = dict(config.get("server") or {})
        self.server = make_server(program, os.path.join(folder, "server"), server_config)
        self.server.wait_ready()
        make_agent, program = (Agent, arguments.bin) if ours else (SpireAgent, arguments.spire_agent)
        self.recording = AgentRecording({}, pool, {"certificates": [], "steps": []})
        token = self.must("/spire.api.server.agent.v1.Agent/CreateJoinToken", {"ttl": 600})["value"]
        bundle = self.must("/spire.api.server.bundle.v1.Bundle/GetBundle", {})
        pem = "".join(ssl.DER_cert_to_PEM_cert(base64.b64decode(a["asn1"])) for a in bundle["x509_authorities"])
        path = our_agent_path(token) if ours else f"/spire/agent/join_token/{token}"
        self.variables = {"agent.token": token, "agent.id": "spiffe://example.org" + path, "agent.id.path": path}
        self.agent = make_agent(program, folder, self.server, {"token": token, "bundle": pem},
                                config.get("agent") or {})
        self.agent.wait_ready()

    def close(self):
        for caller in self.callers.values():
            caller.close()
        if self.agent:
            self.agent.stop()
        self.server.stop()

    def caller(self, name):
        """-> (process, path of the socket it calls)"""
        sockets = {"server-admin": self.server.admin, "agent-admin": self.agent and self.agent.admin}
        user = re.fullmatch(r"uid(\d+)(@admin(-plain)?)?", name)
        if name not in sockets and not user:
            raise Mismatch(f"unknown caller {name}")
        if name not in self.callers:
            groups = [os.stat(self.agent.admin).st_gid] if name.endswith("@admin") else []
            self.callers[name] = Caller(int(user.group(1)), groups) if user else Caller()
        return self.callers[name], sockets.get(name) or (self.agent.admin if user.group(2) else self.agent.socket)

    def order(self, caller, path, request, headers=None, send=True):
        """The fields of an order that calls `path` once."""
        process, target = self.caller(caller)
        method = self.recording.method(path)
        data = None
        if send:
            data = base64.b64encode(self.encode(method, request)).decode()
        if headers is None:
            headers = HEADER if path.startswith("/SpiffeWorkloadAPI/") else {}
        return process, {"target": target, "method": path, "request": data,
                         "headers": [[k, v] for k, values in headers.items() for v in values],
                         "client_streaming": bool(method and method.client_streaming),
                         "server_streaming": bool(method and method.server_streaming)}

    def encode(self, method, request):
        if method is None:
            return b""
        message = self.recording.factory.GetPrototype(method.input_type)()
        return json_format.ParseDict(request, message, descriptor_pool=self.pool).SerializeToString()

    def decode(self, method, answer):
        """The message of an answer as a dict; None when it is the end or nothing."""
        if "message" not in answer:
            return None
        message = self.recording.factory.GetPrototype(method.output_type).FromString(base64.b64decode(answer["message"]))
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self.pool)

    def call(self, caller, path, request, headers=None, within=10):
        """-> (answer of the process, message as dict or None)"""
        process, order = self.order(caller, path, request, headers)
        answer = process.ask(do="call", within=within, deadline=within + 5, **order)
        return answer, self.decode(self.recording.method(path), answer)

    def must(self, path, request):
        answer, message = self.call("server-admin", path, request)
        if message is None:
            raise Mismatch(f"{path} failed: {answer}")
        return message


class Run(AgentRecording):
    """One scenario against one pair."""

    def __init__(self, scenario, arguments, pool, differences, folder):
        super().__init__(scenario, pool, differences)
        self.ours = arguments.bin is not None
        self.pair = Pair(arguments, pool, folder, scenario.get("config") or {})
        self.variables.update(self.pair.variables)
        self.streams = {}  # name -> (process, method, identities of the last message)
        self.authorities = None

    def bundle(self):
        if self.pair.server.process.poll() is None:
            answer = self.pair.must("/spire.api.server.bundle.v1.Bundle/GetBundle", {})
            certificates = [x509.load_der_x509_certificate(base64.b64decode(a["asn1"]))
                            for a in answer.get("x509_authorities", [])]
            keys = {k["key_id"]: (serialization.load_der_public_key(base64.b64decode(k["public_key"])),
                                  k.get("expires_at")) for k in answer.get("jwt_authorities", []) if self.is_key(k)}
            self.authorities = certificates, keys
        return self.authorities

    # --- steps -------------------------------------------------------------------------------------------------

    def run_call(self, number, step):
        request = self.expand(step.get("request") or {})
        answer, message = self.pair.call(step["as"], step["method"], request, step.get("headers"),
                                         step.get("within", 10))
        self.variables[f"pid:{step['as']}"] = self.pair.callers[step["as"]].process.pid
        if message is not None:
            for name, path in (step.get("save") or {}).items():
                self.variables[name] = self.at(message, path)
        self.stream = None
        self.check(number, step, answer, message)

    def do_open(self, _number, step):
        request = self.expand(step.get("request") or {})
        method = self.method(step["method"])
        send = "request" in step or not method.client_streaming
        process, order = self.pair.order(step["as"], step["method"], request, step.get("headers"), send)
        process.ask(do="open", on=step["on"], **order)
        self.variables[f"pid:{step['as']}"] = process.process.pid
        self.streams[step["on"]] = [process, method, {}]

    def do_send(self, _number, step):
        process, method, _ = self.streams[step["on"]]
        data = self.pair.encode(method, self.expand(step["request"]))
        process.ask(do="send", on=step["on"], request=base64.b64encode(data).decode())

    def do_half_close(self, _number, step):
        self.streams[step["on"]][0].ask(do="half_close", on=step["on"])

    def do_close(self, _number, step):
        self.streams[step["on"]][0].ask(do="close", on=step["on"])

    def do_receive(self, number, step):
        stream = self.streams[step["on"]]
        answer = stream[0].ask(do="receive", on=step["on"], within=step.get("within", 10), settle=step.get("settle"))
        message = self.pair.decode(stream[1], answer)
        if message is not None:
            stream[2] = self.mark_changes(message, stream[2])
            for field in ("nonce", "version_info"):
                self.variables[f"{step['on']}.{field}"] = message.get(field, "")
        self.stream = step["on"]
        self.check(number, step, answer, message)

    def do_wait(self, _number, step):
        wanted = sorted("spiffe://example.org" + path for path in step.get("ids") or [])
        federated = {f"spiffe://{name}" for name in step["federated"]} if "federated" in step else None
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline:
            answer, message = self.pair.call(step["as"], "/SpiffeWorkloadAPI/FetchX509SVID", {})
            self.variables[f"pid:{step['as']}"] = self.pair.callers[step["as"]].process.pid
            held = sorted(s["spiffe_id"] for s in (message or {}).get("svids", []))
            refused = answer.get("code") == "PERMISSION_DENIED"
            if (message is not None and held == wanted or refused and not wanted) and (
                    federated is None or set((message or {}).get("federated_bundles", {})) == federated):
                return
            time.sleep(0.15)
        raise Mismatch(f"{step['as']} has {held} ({answer.get('code', 'OK')}), waited for {wanted}")

    def do_stop(self, _number, step):
        self.bundle()
        how = signal.SIGKILL if step["signal"] == "kill" else signal.SIGTERM
        getattr(self.pair, step["what"]).stop(how)

    def do_start(self, _number, step):
        getattr(self.pair, step["what"]).restart()

    @staticmethod
    def do_sleep(_number, step):
        time.sleep(step["seconds"])

    # --- comparison --------------------------------------------------------------------------------------------

    def check(self, number, step, answer, message):
        listed = self.difference(number)
        try:
            self.check_answer(number, step, listed or step["expect"], answer, message)
        except Mismatch as mismatch:
            if step.get("compare") != "soft" or listed:
                raise
            self.remarks.append(f"step {number} differs softly: {mismatch}")

    def check_answer(self, number, step, expect, answer, message):
        if expect.get("nothing"):
            if "message" in answer or "code" in answer:
                raise Mismatch(f"recorded nothing, came {message or answer}")
            return
        if "message" not in answer and "code" not in answer:
            raise Mismatch(f"nothing came, recorded {expect}"[:600])
        code = answer.get("code", "OK")
        text = answer.get("text", "")
        if code != expect["code"] or bool(expect.get("ended")) != (code == "OK" and "message" not in answer):
            raise Mismatch(f"{code} ({text}) {'ended' if answer.get('ended') else ''}, recorded {expect['code']} "
                           f"({expect.get('message', '')})")
        if expect.get("message", text) not in (text, "<transport>"):
            self.remarks.append(f"step {number}: message {text!r}, recorded {expect['message']!r}")
        metadata = [(k, base64.b64decode(v)) for k, v in answer.get("metadata", [])]
        if (expect.get("details") or []) != self.details(metadata):
            raise Mismatch(f"details {self.details(metadata)}, recorded {expect.get('details')}")
        if step.get("compare") == "code" or "response" not in expect:
            return
        self.note_keys(message)
        recorded = expect["response"]
        if step.get("compare") == "any svid":
            recorded, message = self.without_changes(recorded), self.without_changes(message)
        self.match(recorded, message, "response", step.get("ordered", False))

    def without_changes(self, value):
        if isinstance(value, dict):
            return {k: self.without_changes(v) for k, v in value.items() if k != "svid_since_last_message"}
        return [self.without_changes(v) for v in value] if isinstance(value, list) else value

    def run(self):
        """-> what went wrong"""
        faults = []
        for number, step in enumerate(self.scenario["steps"]):
            try:
                if "do" in step:
                    getattr(self, "do_" + step["do"])(number, step)
                else:
                    self.run_call(number, step)
            except Mismatch as mismatch:
                faults.append(f"step {number} ({step.get('as') or step.get('on') or ''} "
                              f"{step.get('method', step.get('do'))}): {mismatch}")
                if step.get("do") in ("open", "wait", "start", "stop"):
                    break
        ends = (self.pair.server.process.poll(), self.pair.agent.process.poll())
        if any(code is not None and code < 0 and code != -signal.SIGKILL for code in ends):
            faults.append(f"a program died: {ends}")
        return faults


def show(name, faults, remarks, verbose):
    print(f"{'ok  ' if not faults else 'FAIL'} {name}" + (f" ({len(remarks)} remarks)" if remarks else ""))
    for line in faults + (remarks if verbose else []):
        print(f"     {line}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", help="folder with signet-server and signet-agent")
    parser.add_argument("--spire-server", help="a real spire-server, with --spire-agent: checks the runner, not us")
    parser.add_argument("--spire-agent", help="a real spire-agent")
    parser.add_argument("--scenario", action="append", help="only this one; repeatable")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    parser.add_argument("--verbose", action="store_true", help="also print texts that differ")
    parser.add_argument("--jobs", type=int, default=6, help="scenarios at once; they mostly wait")
    parser.add_argument("--folder", default=DATA / "spire-agent", type=pathlib.Path)
    arguments = parser.parse_args()
    if not arguments.bin and not (arguments.spire_server and arguments.spire_agent):
        parser.error("--bin, or --spire-server and --spire-agent")
    scenarios = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(arguments.folder.glob("*.json"))]
    chosen = [s for s in scenarios if not arguments.scenario or s["name"] in arguments.scenario]
    if arguments.list:
        print("\n".join(s["name"] for s in chosen))
        return 0
    if os.geteuid() != 0:
        print(f"SKIPPED: all {len(chosen)} scenarios. Their callers are processes of several users; run this as root.")
        return SKIPPED
    differences = json.loads((DATA / "spire-agent-differences.json").read_text(encoding="utf-8"))
    if not arguments.bin:
        differences = {"certificates": [], "steps": []}
    pool = load_pool()

    def one(scenario):
        with tempfile.TemporaryDirectory(prefix="signet-") as folder:
            run = None
            try:
                run = Run(scenario, arguments, pool, differences, folder)
                return scenario["name"], run.run(), run.remarks
            except Mismatch as mismatch:
                return scenario["name"], [f"start: {mismatch}"], []
            finally:
                if run:
                    run.pair.close()

    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as workers:
        for name, faults, remarks in workers.map(one, chosen):
            show(name, faults, remarks, arguments.verbose)
            passed, failed = passed + (not faults), failed + bool(faults)
    print(f"{sum(len(s['steps']) for s in chosen)} steps")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
