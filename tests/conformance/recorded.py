"""Recorded answers against fresh ones: the texts of scenarios, and the comparison of messages.

The format is tests/data/spire-api/README.md, sections 3 and 4. What knows a service, a process or a caller is elsewhere.
"""
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

import summaries

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "tests/data"
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


def our_agent_path(token):
    """The path of the ID our server gives to the agent of a join token (differences: agent_ids)."""
    digest = hashlib.sha256(b"signet join token agent\n" + token.encode()).hexdigest()[:32]
    return f"/spire/agent/join_token/{digest}"


class Recording:
    """One scenario's texts, and what its answers are compared with."""

    SETS = {"entries", "agents", "bundles", "federation_relationships", "selectors", "federates_with", "dns_names",
            "x509_authorities", "jwt_authorities", "entry_revisions"}

    def __init__(self, scenario, pool, differences):
        self.scenario, self.pool, self.differences = scenario, pool, differences
        self.factory = message_factory.MessageFactory(pool)
        self.forge = summaries.Forge()
        self.variables = {}
        self.remarks = []

    def bundle(self):
        """-> (X.509 authorities, JWT authorities as jwt_summary() wants them), of this moment."""
        raise NotImplementedError

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

    def method(self, path):
        service, _, name = path.lstrip("/").rpartition("/")
        try:
            return self.pool.FindServiceByName(service).FindMethodByName(name)
        except KeyError:
            return None

    def details(self, metadata):
        """The details of a status, out of its trailing metadata."""
        for key, value in metadata or ():
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

    @staticmethod
    def at(value, path):
        for part in path.split("."):
            if isinstance(value, list):
                value = value[int(part)] if int(part) < len(value) else ""
            else:
                value = value.get(part, "") if isinstance(value, dict) else ""
        return value

    # --- comparison --------------------------------------------------------------------------------------------

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
        if where.rpartition(".")[2] not in self.SETS or ordered:
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

    def difference(self, number):
        """-> what is expected in place of what was recorded, None where it is what was recorded."""
        for difference in self.differences["steps"]:
            if difference["scenario"] == self.scenario["name"] and difference["step"] == number:
                return difference["expect"]
        return None
