#!/usr/bin/env python3
"""Every row about the agent's sockets of tests/data/cases/workload_api_cases.json, against real processes.

The lists security_header, server and sds are run here; endpoint_addresses and client are about clients, and run by the
unit tests of the command line. A row this program has no check for is a failure: rows are not passed over. Callers are
processes with users of their own, so the test must be run by root; by anybody else it is skipped (exit 77).

usage: workload_api_test.py --bin DIR [--only TEXT]
Closes with "N passed, N failed". Needs python3-grpcio, python3-protobuf, python3-cryptography, protoc.
"""
import argparse
import base64
import concurrent.futures
import json
import os
import re
import sys
import tempfile
import time

from recorded import DATA, Mismatch, load_pool
from spire_agent_test import SKIPPED, Pair

API = "/SpiffeWorkloadAPI/"
SDS = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
ENTRY = "/spire.api.server.entry.v1.Entry/"
BUNDLE = "/spire.api.server.bundle.v1.Bundle/"
CALLER, STRANGER = "uid1001", "uid1999"
TD = "example.org"


def snake(code):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", code).upper()


def need(condition, text):
    if not condition:
        raise Mismatch(text)


class Open:
    """A stream, read one message at a time."""

    def __init__(self, pair, name, method, request=None, headers=None, caller=CALLER):
        self.pair, self.name, self.method = pair, name, pair.recording.method(method)
        send = request is not None or not self.method.client_streaming
        self.process, order = pair.order(caller, method, request or {}, headers, send)
        self.process.ask(do="open", on=name, **order)

    def send(self, request):
        data = base64.b64encode(self.pair.encode(self.method, request)).decode()
        self.process.ask(do="send", on=self.name, request=data)

    def take(self, within=15, settle=None):
        """-> (code or None, message or None)"""
        answer = self.process.ask(do="receive", on=self.name, within=within, settle=settle)
        return answer.get("code"), self.pair.decode(self.method, answer)

    def message(self, **options):
        code, message = self.take(**options)
        need(message is not None, f"no message, {code or 'nothing'} instead")
        return message

    def nothing(self, within=2):
        code, message = self.take(within=within)
        need(code is None and message is None, f"{code or message} instead of nothing")

    def end(self, wanted):
        code, message = self.take(settle=1)
        need(code == wanted, f"{code or message} instead of the end with {wanted}")


class World:
    """A pair with what most rows need."""

    def __init__(self, arguments, pool, folder):
        self.pair = Pair(arguments, pool, folder, {})
        self.parent = {"trust_domain": TD, "path": self.pair.variables["agent.id.path"]}

    def entry(self, name, path, **fields):
        return {"id": name, "spiffe_id": {"trust_domain": TD, "path": path}, "parent_id": self.parent,
                "selectors": [{"type": "unix", "value": "uid:1001"}], **fields}

    def create(self, *entries):
        results = self.pair.must(ENTRY + "BatchCreateEntry", {"entries": list(entries)})["results"]
        return [r["status"].get("code", 0) for r in results]

    def update(self, entry, **fields):
        mask = {name: True for name in fields}
        result = self.pair.must(ENTRY + "BatchUpdateEntry", {"entries": [{**entry, **fields}], "input_mask": mask})
        need(not result["results"][0]["status"].get("code"), f"update failed: {result}")

    def federate(self, name):
        authority = self.pair.recording.expand("${ca:a;td=%s}" % name)
        self.pair.must(BUNDLE + "BatchSetFederatedBundle",
                       {"bundle": [{"trust_domain": name, "x509_authorities": [{"asn1": authority}]}]})

    def call(self, method, request=None, caller=CALLER, headers=None):
        """-> (code, message)"""
        answer, message = self.pair.call(caller, method, request or {}, headers)
        return answer.get("code", "OK" if message is not None else None), message

    def wait(self, *paths):
        wanted = sorted(f"spiffe://{TD}{p}" for p in paths)
        deadline = time.monotonic() + 25
        while time.monotonic() < deadline:
            held = sorted(s["spiffe_id"] for s in (self.call(API + "FetchX509SVID")[1] or {}).get("svids", []))
            if held == wanted:
                return
            time.sleep(0.1)
        raise Mismatch(f"{held}, waited for {wanted}")


# --- security_header --------------------------------------------------------------------------------------------------

def header_row(world, row):
    world.create(world.entry("1", "/one"))
    world.wait("/one")
    code, _ = world.call(API + "FetchX509SVID", headers=row["metadata"])
    need(code == ("OK" if row["verdict"] == "pass" else snake(row["code"])), f"answers {code}")


# --- server -----------------------------------------------------------------------------------------------------------

def two_identities(world):
    world.create(world.entry("2", "/two"), world.entry("1", "/one"))
    world.wait("/one", "/two")


def check_no_header(world, rpc, code):
    need(world.call(API + rpc, {"audience": ["a"]} if rpc == "FetchJWTSVID" else {}, headers={})[0] == code, "not refused")


def check_two(world, _rpc, _code):
    two_identities(world)
    for _ in range(3):
        ids = [s["spiffe_id"] for s in world.call(API + "FetchX509SVID")[1]["svids"]]
        need(ids == [f"spiffe://{TD}/one", f"spiffe://{TD}/two"], f"order {ids}")


def check_rotation(world, _rpc, _code):
    world.create(world.entry("1", "/one", x509_svid_ttl=20))
    world.wait("/one")
    stream = Open(world.pair, "a", API + "FetchX509SVID")
    first, second = stream.message(), stream.message(within=40)
    need(first["svids"][0]["x509_svid"] != second["svids"][0]["x509_svid"] and "bundle" in second["svids"][0],
         "no new SVID in a whole message")


def check_deletion(world, _rpc, code):
    two_identities(world)
    stream = Open(world.pair, "a", API + "FetchX509SVID")
    stream.message()
    world.pair.must(ENTRY + "BatchDeleteEntry", {"ids": ["1"]})
    need([s["spiffe_id"] for s in stream.message()["svids"]] == [f"spiffe://{TD}/two"], "the other one is not left")
    world.pair.must(ENTRY + "BatchDeleteEntry", {"ids": ["2"]})
    stream.end(code)


def check_federation_removed(world, _rpc, _code):
    world.federate("one.test")
    world.create(world.entry("1", "/one", federates_with=["one.test"]))
    world.wait("/one")
    stream = Open(world.pair, "a", API + "FetchX509SVID")
    need("spiffe://one.test" in stream.message()["federated_bundles"], "not federated")
    world.pair.must(BUNDLE + "BatchDeleteFederatedBundle", {"trust_domains": ["one.test"], "mode": "DISSOCIATE"})
    message = stream.message(settle=2)
    need("federated_bundles" not in message and message["svids"], f"{message.keys()}")


def check_attestation(world, _rpc, code):
    world.create(world.entry("1", "/one"))
    world.wait("/one")
    process, order = world.pair.order("agent-admin", API + "FetchX509SVID", {})
    order["target"] = world.pair.agent.socket
    answer = process.ask(do="call", within=10, deadline=15, then_user=1001, **order)
    need(answer.get("code") == code, f"{answer}")


def check_bundle_keys(world, rpc, _code):
    world.create(world.entry("1", "/one"))
    world.wait("/one")
    bundles = world.call(API + rpc)[1]["bundles"]
    need(list(bundles) == [f"spiffe://{TD}"], f"{list(bundles)}")
    if rpc == "FetchJWTBundles":
        keys = json.loads(base64.b64decode(bundles[f"spiffe://{TD}"]))["keys"]
        need(keys and all("kid" in k and "x5c" not in k and k.get("use", "jwt-svid") == "jwt-svid" for k in keys), f"{keys}")


def check_both_audiences(world, rpc, _code):
    world.create(world.entry("1", "/one"))
    world.wait("/one")
    token = world.call(API + rpc, {"audience": ["a", "b"]})[1]["svids"][0]["svid"]
    body = token.split(".")[1]
    need(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["aud"] == ["a", "b"], "aud")


def check_two_tokens(world, rpc, _code):
    two_identities(world)
    need(len(world.call(API + rpc, {"audience": ["a"]})[1]["svids"]) == 2, "not two tokens")


def answers(request, caller=CALLER, registered=True):
    def check(world, rpc, code):
        if registered:
            world.create(world.entry("1", "/one"))
            world.wait("/one")
        answer = world.call(API + rpc, request, caller)[0]
        need(answer == code, f"answers {answer}")
    return check


def check_reflection(world, _rpc, _code):
    for version in ("v1", "v1alpha"):
        _, message = world.call(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo", {"list_services": "*"})
        names = [s["name"] for s in message["list_services_response"]["service"]]
        need("SpiffeWorkloadAPI" in names, f"{names}")


def check_hint_limit(world, _rpc, _code):
    need(world.create(world.entry("1", "/one", hint="h" * 1025)) == [3], "the entry was created")


SERVER = {
    "no security header": check_no_header,
    "profile not supported": answers({}),
    "method not in the proto": lambda w, r, c: answers({}, registered=False)(w, "NoSuchMethod", c),
    "caller matches no entry": answers({}, STRANGER),
    "caller has 2 identities": check_two,
    "2 entries, both hints empty": check_two,
    "entry hint of 1025 bytes": check_hint_limit,
    "SVID rotates while the stream is open": check_rotation,
    "entry deleted while the stream is open": check_deletion,
    "federated bundle removed while open": check_federation_removed,
    "upstream not ready / attestation fails": check_attestation,
    "any": check_bundle_keys,
    "audience ['']": answers({"audience": [""]}),
    "spiffe_id not a SPIFFE ID": answers({"audience": ["a"], "spiffe_id": "one"}),
    "no spiffe_id, 2 identities": check_two_tokens,
    "audience [a,b]": check_both_audiences,
    "caller entitled": check_bundle_keys,
    "list services": check_reflection,
}
CODES = {"entry deleted while the stream is open": "PERMISSION_DENIED"}


def server_row(world, row):
    check = SERVER.get(row["given"])
    need(check, "this program has no check for the row")
    check(world, row["rpc"], CODES.get(row["given"]) or snake(row["expect"]))


# --- sds --------------------------------------------------------------------------------------------------------------

class Subscription:
    """Carries out the steps of one SDS row on one stream."""

    def __init__(self, world):
        self.world, self.answers, self.names = world, [], []
        self.entry = world.entry("1", "/workload", federates_with=["other"])
        world.federate("other")
        world.create(self.entry)
        world.wait("/workload")
        self.stream = Open(world.pair, "s", SDS, headers={})

    def fill(self, value):
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        answer = re.fullmatch(r"R(\d)\.(version|nonce)", value)
        if answer:
            field = "version_info" if answer.group(2) == "version" else "nonce"
            return self.answers[int(answer.group(1)) - 1][field]
        return value.replace("TD", TD)

    def send(self, what):
        if isinstance(what, str):
            what = self.meaning_of(what)
        request = {"type_url": SECRET, **self.fill(what)}
        node = request.pop("node", None)
        if node:
            request["node"] = self.node(node)
        if "error_detail" in request:
            request["error_detail"] = {"code": 3, "message": request["error_detail"]}
        self.names = request["resource_names"]
        self.stream.send(request)

    def meaning_of(self, text):
        if text.startswith("StreamSecrets without"):
            return {"resource_names": ["default"]}
        need(text.startswith("ACK"), f"what is {text!r}?")
        names = re.search(r"names \[(.*)\]", text)
        last = self.answers[-1]
        return {"resource_names": names.group(1).split(",") if names else self.names,
                "version_info": last["version_info"], "response_nonce": last["nonce"]}

    @staticmethod
    def node(told):
        version = re.fullmatch(r"(\d+)\.(\d+)", told.get("version", ""))
        node = {"id": "n"}
        if version:
            numbers = {"major_number": int(version.group(1)), "minor_number": int(version.group(2))}
            node["user_agent_build_version"] = {"version": numbers}
        if "metadata" in told:
            node["metadata"] = {k: True if "true" in v else v for k, v in told["metadata"].items()}
        return node

    def change(self, what):
        if what == "SVID rotates":
            self.world.update(self.entry, dns_names=["a.example.org"])
        elif what == "bundle":
            self.world.pair.must("/spire.api.server.localauthority.v1.LocalAuthority/PrepareX509Authority", {})
        elif what == "federation removed":
            self.world.update(self.entry, federates_with=[])
        else:
            raise Mismatch(f"what is the change {what!r}?")

    def expect(self, wanted):
        text = wanted if isinstance(wanted, str) else ""
        if text.startswith(("nothing", "ignored", "normal going on")):
            return self.stream.nothing()
        answer = self.stream.message()
        need(answer["nonce"] and answer["version_info"] and answer["type_url"] == SECRET, "no nonce or version")
        if self.answers:
            need(answer["nonce"] != self.answers[-1]["nonce"], "the nonce of the last answer")
            if "new version" in text:
                need(answer["version_info"] != self.answers[-1]["version_info"], "the version of the last answer")
        self.answers.append(answer)
        if isinstance(wanted, dict):
            self.compare(wanted["resources"], answer["resources"])
        elif "trusted_ca" in text:
            need("trusted_ca" in answer["resources"][0]["validation_context"], "another form")
        need(text.endswith("once") is False or answer["resources"], "empty")
        return None

    def compare(self, wanted, resources):
        if isinstance(wanted, str):  # every SVID and bundle
            names = {r["name"] for r in resources}
            need(names == {f"spiffe://{TD}", "spiffe://other", f"spiffe://{TD}/workload"}, f"{names}")
            return
        need([r["name"] for r in resources] == [self.fill(w["name"]) for w in wanted], f"{[r['name'] for r in resources]}")
        for one, resource in zip(wanted, resources):
            kind = next(k for k in one if k != "name")
            need(kind in resource, f"no {kind}")
            self.compare_context(json.dumps(one), resource)

    @staticmethod
    def compare_context(wanted, resource):
        if "trusted_ca" in wanted:
            need(b"BEGIN CERTIFICATE" in base64.b64decode(resource["validation_context"]["trusted_ca"]["inline_bytes"]), "PEM")
        if "SPIFFECertValidatorConfig" not in wanted:
            return
        config = resource["validation_context"]["custom_validator_config"]
        need(config["name"] == "envoy.tls.cert_validator.spiffe", config["name"])
        names = [t["name"] for t in config["typed_config"]["trust_domains"]]
        need(names == ([TD, "other"] if "federated" in wanted else [TD]), f"{names}")

    def step(self, step):
        (kind, what), = [(k, v) for k, v in step.items() if k != "message"]
        if kind == "expect_status":
            self.stream.end(snake(re.match(r"\w+", what).group()))
        else:
            getattr(self, kind)(what)


def sds_row(world, row):
    subscription = Subscription(world)
    for number, step in enumerate(row["steps"]):
        try:
            subscription.step(step)
        except Mismatch as mismatch:
            raise Mismatch(f"step {number} {json.dumps(step)[:120]}: {mismatch}") from mismatch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder with signet-server and signet-agent")
    parser.add_argument("--only", default="", help="rows whose JSON holds this text")
    parser.add_argument("--jobs", type=int, default=4)
    arguments = parser.parse_args()
    cases = json.loads((DATA / "cases/workload_api_cases.json").read_text(encoding="utf-8"))
    rows = [(kind, run, row) for kind, run in (("security_header", header_row), ("server", server_row), ("sds", sds_row))
            for row in cases[kind] if arguments.only in json.dumps(row)]
    if os.geteuid() != 0:
        print(f"SKIPPED: all {len(rows)} rows. Their callers are processes of several users; run this as root.")
        return SKIPPED
    pool = load_pool()

    def one(job):
        kind, run, row = job
        with tempfile.TemporaryDirectory(prefix="signet-") as folder:
            world = None
            try:
                world = World(arguments, pool, folder)
                run(world, row)
                return kind, row, None
            except Mismatch as mismatch:
                return kind, row, str(mismatch)
            finally:
                if world:
                    world.pair.close()

    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as workers:
        for kind, row, fault in workers.map(one, rows):
            label = row.get("id") or row.get("given") or row.get("metadata")
            print(f"{'FAIL' if fault else 'ok  '} {kind}: {row.get('rpc', '')} {label}")
            if fault:
                print(f"     {fault}")
            passed, failed = passed + (not fault), failed + bool(fault)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
