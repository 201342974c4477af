#!/usr/bin/env python3
"""A workload made of py-spiffe: watches an X509Source and prints JSON lines.

The options, the lines and the exit status are those of the Go program workload-client:
  -once    print what the Workload API gives, once
  -watch   print a line for each update until -updates of them came
Exit status: 0 done, 2 wrong use, 3 no identity or not the updates asked for within -timeout.
"""

import argparse
import json
import os
import queue
import sys
import threading
import time
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName
from spiffe import X509Source

EXIT_NO_IDENTITY = 3


class Updates:
    """The updates of one X509Source, in order, none lost."""

    def __init__(self):
        self._picked = queue.SimpleQueue()
        self._arrived = threading.Semaphore(0)

    def pick(self, svids):
        """Called by the source with all SVIDs of an update, before the source serves that update."""
        self._picked.put(svids)
        return svids[0]

    def announce(self):
        """Called by the source when an update is in force."""
        self._arrived.release()

    def take(self):
        """The updates not yet taken."""
        taken = []
        while not self._picked.empty():
            taken.append(self._picked.get())
        return taken

    def wait(self, seconds):
        return self._arrived.acquire(timeout=max(0.0, seconds))


def parse_options():
    parser = argparse.ArgumentParser(description="watch an X509Source of py-spiffe", allow_abbrev=False)
    parser.add_argument("-socket", default=os.environ.get("SPIFFE_ENDPOINT_SOCKET"))
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-once", action="store_true")
    mode.add_argument("-watch", action="store_true")
    parser.add_argument("-updates", type=int, default=2)
    parser.add_argument("-distinct", action="store_true",
                        help="count only updates that bring other serials than the one before")
    parser.add_argument("-timeout", type=seconds, default=30.0, help="seconds, or as 90s, 2m")
    options = parser.parse_args()
    if not options.socket:
        parser.error("-socket (or SPIFFE_ENDPOINT_SOCKET) is needed")
    if options.updates < 1:
        parser.error("-updates must be positive")
    return options


def seconds(text):
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    if text and text[-1] in units:
        return float(text[:-1]) * units[text[-1]]
    return float(text)


def verify_error(chain, authorities):
    """Why the chain does not lead to one of the authorities, or None. Signatures and names only."""
    for certificate, issuer in zip(chain, chain[1:]):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError) as error:
            return f"chain is broken: {error!r}"
    for authority in authorities:
        try:
            chain[-1].verify_directly_issued_by(authority)
            return None
        except (InvalidSignature, TypeError, ValueError):
            continue
    return "not signed by an authority of the bundle"


def dns_names(certificate):
    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    return names.get_values_for_type(DNSName)


def describe(number, svids, source):
    bundle = source.get_bundle_for_trust_domain(svids[0].spiffe_id.trust_domain)
    authorities = bundle.x509_authorities if bundle else set()
    lines = []
    for svid in svids:
        leaf = svid.leaf
        error = verify_error(svid.cert_chain, authorities)
        line = {
            "spiffe_id": str(svid.spiffe_id),
            "serial": format(leaf.serial_number, "x"),
            "not_before": leaf.not_valid_before_utc.isoformat(),
            "not_after": leaf.not_valid_after_utc.isoformat(),
            "dns_names": dns_names(leaf),
            "chain_length": len(svid.cert_chain),
            "verified": error is None,
        }
        if error:
            line["verify_error"] = error
        lines.append(line)
    return {
        "update": number,
        "time": datetime.now(timezone.utc).isoformat(),
        "svids": lines,
        "authorities": len(authorities),
    }


def watch(options, source, updates):
    """Prints the updates; true when as many came as were wanted."""
    wanted = 1 if options.once else options.updates
    deadline = time.monotonic() + options.timeout
    counted, number, previous = 0, 0, None
    while True:
        for svids in updates.take():
            number += 1
            line = describe(number, svids, source)
            print(json.dumps(line), flush=True)
            current = sorted((svid["spiffe_id"], svid["serial"]) for svid in line["svids"])
            if not options.distinct or current != previous:
                counted += 1
            previous = current
            if counted == wanted:
                return True
        if not updates.wait(deadline - time.monotonic()):
            print(f"x509_source: {counted} of {wanted} updates in time", file=sys.stderr)
            return False


def main():
    options = parse_options()
    updates = Updates()
    try:
        source = X509Source(socket_path=options.socket, timeout_in_seconds=options.timeout,
                            svid_picker=updates.pick)
    except Exception as error:  # the library has no common base class for its errors
        print(f"x509_source: no identity: {error}", file=sys.stderr)
        return EXIT_NO_IDENTITY
    with source:
        source.subscribe_for_updates(updates.announce)
        return 0 if watch(options, source, updates) else EXIT_NO_IDENTITY


if __name__ == "__main__":
    sys.exit(main())
