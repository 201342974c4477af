"""What the recorded answers hold in place of bytes: certificates, keys, requests and tokens as summaries.

The format is described in tests/data/spire-api/README.md, sections 3 and 4.
"""
import base64
import datetime
import ipaddress
import json

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME_ATTRIBUTES = {
    NameOID.COUNTRY_NAME: "C", NameOID.ORGANIZATION_NAME: "O", NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COMMON_NAME: "CN", NameOID.SERIAL_NUMBER: "serialNumber", NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
}
KEY_USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
              "key_cert_sign", "crl_sign")
KEY_USAGE_NAMES = dict(zip(KEY_USAGES, ("digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment",
                                        "keyAgreement", "keyCertSign", "cRLSign")))
EXTENSION_NAMES = {
    "2.5.29.15": "keyUsage", "2.5.29.37": "extendedKeyUsage", "2.5.29.19": "basicConstraints",
    "2.5.29.14": "subjectKeyIdentifier", "2.5.29.35": "authorityKeyIdentifier", "2.5.29.17": "subjectAltName",
}


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_kind(key):
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "ec-p256", "secp384r1": "ec-p384", "secp521r1": "ec-p521"}[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__


def name_text(name):
    """RDNs in the order of the certificate."""
    parts = []
    for attribute in name:
        label = NAME_ATTRIBUTES.get(attribute.oid, attribute.oid.dotted_string)
        parts.append(f"{label}={attribute.value}")
    return ", ".join(parts)


def extension(certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def seconds(moment):
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def is_signed_by(certificate, issuer):
    key = issuer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes,
                       ec.ECDSA(certificate.signature_hash_algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(),
                       certificate.signature_hash_algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return certificate.issuer == issuer.subject


def chains_to(chain, authorities, now):
    """Whether a path leads from chain[0] over the rest of the chain to an authority, at `now`."""
    current = chain[0]
    for _ in range(len(chain) + 1):
        if not seconds(current.not_valid_before) <= now <= seconds(current.not_valid_after):
            return False
        if any(is_signed_by(current, authority) for authority in authorities):
            return True
        current = next((c for c in chain[1:] if c is not current and is_signed_by(current, c)), None)
        if current is None:
            return False
    return False


def subject_key_id(certificate):
    value = extension(certificate, x509.SubjectKeyIdentifier)
    return value.digest if value else None


def signature_name(certificate):
    """As Go names algorithms: ECDSA-SHA256, SHA256-RSA."""
    digest = certificate.signature_hash_algorithm.name.upper()
    return f"ECDSA-{digest}" if "ecdsa" in certificate.signature_algorithm_oid._name else f"{digest}-RSA"


def certificate_summary(der, place, authorities, now):
    """`place` is 'first' or 'later' in a chain, or 'bundle'."""
    certificate = x509.load_der_x509_certificate(der)
    summary = {
        "subject": name_text(certificate.subject), "issuer": name_text(certificate.issuer),
        "key": key_kind(certificate.public_key()), "version": certificate.version.value + 1,
        "signature_algorithm": signature_name(certificate),
        "extensions": [EXTENSION_NAMES.get(e.oid.dotted_string, e.oid.dotted_string) + (" critical" if e.critical else "")
                       for e in certificate.extensions],
    }
    names = extension(certificate, x509.SubjectAlternativeName)
    if names:
        for label, kind in (("uri_sans", x509.UniformResourceIdentifier), ("dns_sans", x509.DNSName),
                            ("email_sans", x509.RFC822Name)):
            values = names.get_values_for_type(kind)
            if values:
                summary[label] = values
        addresses = names.get_values_for_type(x509.IPAddress)
        if addresses:
            summary["ip_sans"] = len(addresses)
    usage = extension(certificate, x509.KeyUsage)
    if usage:
        summary["key_usage"] = [KEY_USAGE_NAMES[u] for u in KEY_USAGES if getattr(usage, u)]
    purposes = extension(certificate, x509.ExtendedKeyUsage)
    if purposes:
        known = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}
        summary["ext_key_usage"] = [known.get(p, p.dotted_string) for p in purposes]
    constraints = extension(certificate, x509.BasicConstraints)
    if constraints:
        summary["ca"] = constraints.ca
        if constraints.path_length is not None:
            summary["path_len"] = constraints.path_length
    if not 1 <= certificate.serial_number <= 2**128 - 1:
        summary["serial"] = str(certificate.serial_number)
    ends = {seconds(a.not_valid_after) for a in authorities}
    lifetime = seconds(certificate.not_valid_after) - seconds(certificate.not_valid_before)
    summary["validity_seconds"] = lifetime
    summary["ends_with_authority"] = seconds(certificate.not_valid_after) in ends
    if place == "bundle":
        summary["self_signed"] = is_signed_by(certificate, certificate)
    else:
        summary["not_before"] = seconds(certificate.not_valid_before)
        key_id = extension(certificate, x509.AuthorityKeyIdentifier)
        if key_id and key_id.key_identifier in {subject_key_id(a) for a in authorities}:
            summary["authority_key_id"] = "subject_key_id of an authority in the bundle"
    return summary


def jwt_summary(token, jwt_authorities):
    """`jwt_authorities`: key id -> (public key, expires_at)."""
    head, body, signature = token.split(".")
    decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    header, claims = json.loads(decode(head)), json.loads(decode(body))
    key, end = jwt_authorities.get(header.get("kid"), (None, None))
    verifies = False
    if key is not None:
        raw, signed = decode(signature), f"{head}.{body}".encode()
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[header["alg"][2:]]
        try:
            if header["alg"].startswith("ES"):
                half = len(raw) // 2
                der = utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
                key.verify(der, signed, ec.ECDSA(digest))
            else:
                key.verify(raw, signed, padding.PKCS1v15(), digest)
            verifies = True
        except InvalidSignature:
            verifies = False
    return {"header": header, "claims": claims, "verifies_with_bundle": verifies, "key_expires_at": end}


class Forge:
    """Makes the keys, requests and foreign authorities that `${…}` names ask for; each name once a run."""

    def __init__(self):
        self.keys = {}
        self.authorities = {}

    def key(self, name, kind="ec-p256"):
        if name is None or (name, kind) not in self.keys:
            made = {"ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
                    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
                    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
                    "ed25519": ed25519.Ed25519PrivateKey.generate}[kind]()
            if name is None:
                return made
            self.keys[(name, kind)] = made
        return self.keys[(name, kind)]

    def named_key(self, name):
        return next(key for (held, _), key in self.keys.items() if held == name)

    def public_key(self, name, kind="ec-p256"):
        return spki(self.key("public:" + name, kind).public_key())

    def request(self, options):
        if "garbage" in options:
            return b"\x30\x03\x02\x01\x05garbage"
        kind, name, subject, sans = "ec-p256", None, [], []
        attributes = {"cn": NameOID.COMMON_NAME, "o": NameOID.ORGANIZATION_NAME,
                      "ou": NameOID.ORGANIZATIONAL_UNIT_NAME, "c": NameOID.COUNTRY_NAME}
        for option in options:
            label, _, value = option.partition("=")
            if label in ("ec-p384", "rsa2048", "ed25519"):
                kind = label
            elif label == "key":
                name = value
            elif label in attributes:
                subject.append((label, value))
            elif label == "uri":
                sans.append(x509.UniformResourceIdentifier._init_without_validation(value))
            elif label == "dns":
                sans.append(x509.DNSName._init_without_validation(value))
            elif label == "email":
                sans.append(x509.RFC822Name(value))
            elif label == "ip":
                sans.append(x509.IPAddress(ipaddress.ip_address(value)))
        order = ("c", "o", "ou", "cn")  # as Go writes a subject
        subject.sort(key=lambda pair: order.index(pair[0]))
        key = self.key(name, kind)
        builder = x509.CertificateSigningRequestBuilder().subject_name(
            x509.Name([x509.NameAttribute(attributes[label], value) for label, value in subject]))
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        algorithm = None if kind == "ed25519" else hashes.SHA256()
        der = builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)
        if "badsig" in options:
            return self._with_foreign_signature(der, key)
        return der

    @staticmethod
    def _with_foreign_signature(der, key):
        """A well-formed signature by the same key, over other content, until its length fits in place."""
        request = x509.load_der_x509_csr(der)
        while True:
            other = key.sign(b"other content", ec.ECDSA(hashes.SHA256()))
            if len(other) == len(request.signature):
                return der[:-len(other)] + other

    def authority(self, name, trust_domain="example.org"):
        if (name, trust_domain) not in self.authorities:
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Test {name}")])
            now = datetime.datetime.utcnow()
            builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                       .serial_number(x509.random_serial_number() >> 40)
                       .not_valid_before(now - datetime.timedelta(minutes=1))
                       .not_valid_after(now + datetime.timedelta(hours=48))
                       .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                       .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
                       .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                       .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(
                           f"spiffe://{trust_domain}")]), critical=False))
            self.authorities[(name, trust_domain)] = (builder.sign(key, hashes.SHA256()), key)
        return self.authorities[(name, trust_domain)]

    def foreign_leaf(self, name, spiffe_id):
        issuer, issuer_key = self.authority(name)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number() >> 40)
                   .not_valid_before(now - datetime.timedelta(minutes=1))
                   .not_valid_after(now + datetime.timedelta(hours=1))
                   .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH,
                                                         ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False))
        if spiffe_id:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(spiffe_id)]), critical=True)
        return builder.sign(issuer_key, hashes.SHA256()), key
