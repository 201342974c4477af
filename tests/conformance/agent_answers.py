"""What the answers of an agent's sockets hold beyond those of the server API: chains, keys, PEM, JWKS, nonces.

The format is tests/data/spire-agent/README.md, sections 3 and 4.
"""
import base64
import json
import re
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

import summaries
from recorded import Mismatch, Recording

PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\n(.*?)-----END \1-----\n", re.S)
RECENT = 120


def split_der(data):
    """Concatenated DER elements."""
    parts, at = [], 0
    while at < len(data):
        length, size = data[at + 1], 2
        if length & 0x80:
            count = length & 0x7F
            length, size = int.from_bytes(data[at + 2:at + 2 + count], "big"), 2 + count
        parts.append(data[at:at + size + length])
        at += size + length
    return parts


def split_pem(data):
    """-> [(type, DER)]; nothing else may stand between."""
    blocks = [(m.group(1).decode(), base64.b64decode(m.group(2))) for m in PEM_BLOCK.finditer(data)]
    if PEM_BLOCK.sub(b"", data):
        raise Mismatch(f"PEM with something else in it: {data[:60]!r}")
    return blocks


def encode64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def forge_jwt(forge, options):
    """${jwt:…}: signed with the key of `key` by ES256, whatever alg says."""
    held, audience = {"alg": "ES256"}, []
    claims = {}
    for option in options:
        name, _, value = option.partition("=")
        if name == "aud":
            audience.append(value)
        elif name.startswith("c."):
            claims[name[2:]] = value
        else:
            held[name] = value
    header = {"alg": held["alg"], **{k: held[k] for k in ("kid", "typ") if k in held}}
    if audience:
        claims["aud"] = audience[0] if len(audience) == 1 else audience
    for name in ("sub", "iss"):
        if name in held:
            claims[name] = held[name]
    for name in ("exp", "iat", "nbf"):
        if name in held:
            claims[name] = int(time.time()) + int(held[name])
    signed = ".".join(encode64(json.dumps(part).encode()) for part in (header, claims))
    if held["alg"] == "none":
        return signed + "."
    key = forge.key("public:" + held["key"])
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return signed + "." + encode64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def tamper(how, token):
    head, body, signature = token.split(".")
    if how == "signature":
        raw = bytearray(decode64(signature))
        raw[0] ^= 1
        signature = encode64(bytes(raw))
    elif how == "no-signature":
        signature = ""
    elif how == "sub":
        claims = json.loads(decode64(body))
        claims["sub"] += "-other"
        body = encode64(json.dumps(claims).encode())
    elif how in ("alg-none", "kid"):
        header = json.loads(decode64(head))
        header["kid" if how == "kid" else "alg"] = "unknown" if how == "kid" else "none"
        head = encode64(json.dumps(header).encode())
        signature = signature if how == "kid" else ""
    else:
        raise Mismatch(f"unknown way to tamper: {how}")
    return f"{head}.{body}.{signature}"


def leaf_of(element):
    """(name, leaf in DER, key in DER) of an identity in an answer, in any of its three forms; else None."""
    if not isinstance(element, dict):
        return None
    if "tls_certificate" in element:
        pair = [split_pem(base64.b64decode(element["tls_certificate"].get(part, {}).get("inline_bytes", "")))
                for part in ("certificate_chain", "private_key")]
        return element.get("name"), pair[0][0][1] if pair[0] else b"", pair[1][0][1] if pair[1] else b""
    if "x509_svid_key" not in element:
        return None
    svid, key = element.get("x509_svid"), base64.b64decode(element["x509_svid_key"])
    if isinstance(svid, dict):
        return json.dumps(svid.get("id")), base64.b64decode(svid["cert_chain"][0]), key
    return element.get("spiffe_id"), split_der(base64.b64decode(svid))[0], key


def each_identity(value):
    found = leaf_of(value)
    if found:
        yield value, found
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from each_identity(child)


class AgentRecording(Recording):
    """A Recording whose answers are those of an agent."""

    SETS = Recording.SETS | {"svids", "x509_svids", "resources", "keys", "service"}

    def __init__(self, scenario, pool, differences):
        super().__init__(scenario, pool, differences)
        self.fits = {}  # key in DER -> whether it is that of the leaf beside it
        self.numbered = {}  # (stream, "nonce"|"version") -> {number: value}
        self.stream = None

    def replacement(self, text):
        name, colon, rest = text.partition(":")
        if colon and name == "jwt":
            return forge_jwt(self.forge, [o for o in rest.split(";") if o])
        if colon and name == "tamper":
            how, _, token = rest.partition(";")
            return tamper(how, token)
        if text in self.variables:
            return str(self.variables[text])
        return super().replacement(text)

    def note_keys(self, answer):
        """Remembers of each private key whether it fits its leaf."""
        for _, (_, leaf, key) in each_identity(answer):
            try:
                public = serialization.load_der_private_key(key, None).public_key()
                self.fits[key] = summaries.spki(public) == summaries.spki(
                    x509.load_der_x509_certificate(leaf).public_key())
            except ValueError:
                self.fits[key] = False

    @staticmethod
    def mark_changes(answer, before):
        """Adds svid_since_last_message to each identity that `before` held too; -> identities of this answer."""
        now = {}
        for element, (name, leaf, key) in list(each_identity(answer)):
            if name in before:
                same_leaf, same_key = before[name][0] == leaf, before[name][1] == key
                element["svid_since_last_message"] = "same" if same_leaf else (
                    "new, old key" if same_key else "new, new key")
            now.setdefault(name, (leaf, key))
        return now

    def match_text(self, expected, actual, where):
        if expected == "<recent>":
            if not 0 <= time.time() - actual <= RECENT:
                raise Mismatch(f"{where}: {actual} is not of the last {RECENT} seconds")
            return
        numbered = re.fullmatch(r"<(nonce|version) (\d+)>", expected)
        if numbered:
            self.match_numbered(numbered.group(1), numbered.group(2), actual, where)
            return
        width = re.fullmatch(r"<base64url of (\d+) bytes>", expected)
        if width:
            if len(decode64(actual)) != int(width.group(1)):
                raise Mismatch(f"{where}: {actual!r} is not {expected}")
            return
        if isinstance(actual, float) and actual == int(actual):
            actual = int(actual)
        super().match_text(expected, actual, where)

    def match_numbered(self, kind, number, actual, where):
        seen = self.numbered.setdefault((self.stream, kind), {})
        if not actual:
            raise Mismatch(f"{where}: empty")
        if seen.get(number, actual) != actual or any(v == actual for n, v in seen.items() if n != number):
            raise Mismatch(f"{where}: {actual!r} for <{kind} {number}>, and before: {seen}")
        seen[number] = actual

    def match_certificates(self, expected, ders, where, ordered):
        actual = [base64.b64encode(d).decode() for d in ders]
        self.match_list(expected, actual, where + (".chain" if ordered else ".x509_authorities"), ordered)

    def match_token(self, token, expected, actual, where, ordered):
        if token == "<cert>" and isinstance(expected, str):
            self.match_certificate(self.scenario["certs"][expected], base64.b64decode(actual), where)
        elif token in ("<chain>", "<certs>"):
            self.match_certificates(expected, split_der(base64.b64decode(actual)), where, token == "<chain>")
        elif token in ("<pem chain>", "<pem certs>"):
            blocks = split_pem(base64.b64decode(actual))
            if {kind for kind, _ in blocks} - {"CERTIFICATE"}:
                raise Mismatch(f"{where}: PEM of other types than CERTIFICATE")
            self.match_certificates(expected, [der for _, der in blocks], where, token == "<pem chain>")
        elif token.startswith("<pem "):
            blocks = split_pem(base64.b64decode(actual))
            if [kind for kind, _ in blocks] != [token[5:-1]]:
                raise Mismatch(f"{where}: PEM of {[kind for kind, _ in blocks]}, recorded {token}")
            self.match(expected, base64.b64encode(blocks[0][1]).decode(), where, ordered)
        elif token == "<private_key>":
            key = base64.b64decode(actual)
            kind = summaries.key_kind(serialization.load_der_private_key(key, None).public_key())
            self.match(expected, {"form": "PKCS#8", "key": kind, "fits_leaf": self.fits.get(key, False)}, where, ordered)
        elif token == "<jwks>":
            self.match_jwks(expected, json.loads(base64.b64decode(actual)), where)
        else:
            super().match_token(token, expected, actual, where, ordered)

    def match_jwks(self, expected, actual, where):
        for key in actual.get("keys", []):
            if key.get("kty") == "EC":
                key["<public_key>"] = self.spki_of(key)
        wanted = json.loads(json.dumps(expected))
        named = {self.expand(k["<public_key>"]) for k in wanted["keys"] if "<public_key>" in k}
        for key in actual.get("keys", []):
            if key.get("<public_key>") not in named:
                key.pop("<public_key>", None)
        self.match(wanted, actual, where, False)

    @staticmethod
    def spki_of(key):
        curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}[key["crv"]]
        numbers = [int.from_bytes(decode64(key[axis]), "big") for axis in ("x", "y")]
        return base64.b64encode(summaries.spki(ec.EllipticCurvePublicNumbers(*numbers, curve).public_key())).decode()
