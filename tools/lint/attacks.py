#!/usr/bin/env python3
"""Each of the 50 attack cases has an automated test that bears its number ("attack 07: ..."), and each parser of
outside bytes a fuzz target with seeds (attack 50). Lists what is missing; exit code 1 when anything is.

usage: attacks.py [--root DIR] [--self-test]
"""
import argparse
import pathlib
import re
import sys
import tempfile

CASES = range(1, 51)
# A test's name begins with "attack 07" or "attack 07 and 09"; in Python it is "attack_07_..." after "test_".
NAMED = re.compile(r'TEST_CASE\(\s*"attack (\d\d)(?: and (\d\d))?[:" ]|def test_attack_(\d\d)_')
# Attack 50: what outside bytes are read by, and the fuzz target that feeds it.
FUZZED = {
    "HTTP/1 messages": "http1_message_fuzz", "HTTP/2 frames, HPACK and state": "http_session_fuzz",
    "ClientHello": "client_hello_fuzz", "policy files": "policy_fuzz", "route files": "routes_fuzz",
    "trace context": "trace_context_fuzz", "X.509": "certificate_fuzz", "SPIFFE IDs": "spiffe_id_fuzz",
    "CSRs": "csr_fuzz", "JWT-SVIDs": "jwt_fuzz", "bundles": "bundle_fuzz", "URLs": "https_url_fuzz",
}


def numbers(root):
    found = set()
    for path in sorted((root / "tests").rglob("*_test.*")):
        if path.suffix in (".cc", ".py"):
            for groups in NAMED.findall(path.read_text(encoding="utf-8")):
                found.update(int(number) for number in groups if number)
    return found


def faults(root):
    found = numbers(root)
    missing = [f"attack {case:02}: no test has this number in its name" for case in CASES
               if case not in found and case != 50]
    unknown = [f"attack {case:02}: there is no such case" for case in sorted(found) if case not in CASES]
    fuzz = root / "tests" / "fuzz"
    for what, target in FUZZED.items():
        if not (fuzz / f"{target}.cc").exists():
            missing.append(f"attack 50: {what}: no fuzz target tests/fuzz/{target}.cc")
        elif not any((fuzz / "corpus" / target).glob("*")):
            missing.append(f"attack 50: {what}: no seeds in tests/fuzz/corpus/{target}")
    return missing + unknown


def self_test(root):
    """A tree without one case, and one without seeds, are found out."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        (copy / "tests" / "fuzz").mkdir(parents=True)
        (copy / "tests" / "a_test.cc").write_text(
            "".join(f'TEST_CASE("attack {case:02}: x") {{}}\n' for case in CASES if case != 7), encoding="utf-8")
        found = faults(copy)
    planted = ["attack 07: no test has this number in its name",
               "attack 50: CSRs: no fuzz target tests/fuzz/csr_fuzz.cc"]
    missed = [fault for fault in planted if fault not in found]
    for fault in missed:
        print(f"self-test: did not find '{fault}'")
    return 1 if missed or not numbers(root) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2], type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test(arguments.root)
    found = faults(arguments.root)
    print("\n".join(found) if found else "attacks: all 50 have tests")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
