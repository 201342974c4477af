#!/usr/bin/env python3
"""Checks that #include lines follow layers.toml and that includes make no cycle.

Exit status: 0 when clean, 1 with one line per fault otherwise. --self-test proves that it can fail:
it writes small trees with known faults and expects each to be found.
"""
import argparse
import pathlib
import re
import sys
import tempfile
import tomllib

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)
TOP = ("base", "ca", "net", "identity", "mesh", "agent", "proxy", "tools", "tests")


def longest(table, path):
    """The value of the longest key that is a folder prefix of path, or None."""
    best = None
    for key in table:
        if (path == key or path.startswith(key + "/")) and (best is None or len(key) > len(best)):
            best = key
    return None if best is None else table[best]


def inside(path, folders):
    return any(path == f or path.startswith(f + "/") for f in folders)


def fenced(include, pattern):
    return include.startswith(pattern) if pattern.endswith("/") else include.endswith(pattern)


def check(root, rules):
    faults, graph = [], {}
    for top in TOP:
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            path = file.relative_to(root).as_posix()
            allowed = longest(rules["may_include"], path)
            edges = graph.setdefault(path, set())
            for match in INCLUDE.finditer(file.read_text(encoding="utf-8")):
                include = match.group(2)
                for pattern, homes in rules["fences"].items():
                    if fenced(include, pattern) and not inside(path, homes):
                        faults.append(f"{path}: includes {include}, fenced to {', '.join(homes)}")
                if match.group(1) != '"' or not (root / include).exists():
                    continue
                edges.add(include)
                if allowed is not None and not inside(include, allowed):
                    faults.append(f"{path}: includes {include}; it may include {', '.join(allowed)}")
    return faults + cycles(graph)


def cycles(graph):
    faults, state = [], {}

    def visit(node, trail):
        state[node] = "open"
        for target in sorted(graph.get(node, ())):
            if state.get(target) == "open":
                faults.append("include cycle: " + " -> ".join(trail[trail.index(target):] + [target]))
            elif target not in state:
                visit(target, trail + [target])
        state[node] = "done"

    sys.setrecursionlimit(10000)
    for node in sorted(graph):
        if node not in state:
            visit(node, [node])
    return faults


def self_test(rules):
    trees = {
        "upward include": {"base/a.h": '#include "ca/b.h"\n', "ca/b.h": ""},
        "across a fence": {"proxy/a.cc": "#include <openssl/ssl.h>\n"},
        "agent takes the server": {"agent/a.cc": '#include "identity/store/s.h"\n', "identity/store/s.h": ""},
        "a cycle": {"base/a.h": '#include "base/b.h"\n', "base/b.h": '#include "base/a.h"\n'},
    }
    missed = []
    for name, files in trees.items():
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                target = pathlib.Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            if not check(pathlib.Path(folder), rules):
                missed.append(name)
    for name in missed:
        print(f"self-test: did not find '{name}'")
    print(f"self-test: {len(trees) - len(missed)} of {len(trees)} planted faults found")
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2], type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    rules = tomllib.loads((pathlib.Path(__file__).parent / "layers.toml").read_text(encoding="utf-8"))
    if arguments.self_test:
        return self_test(rules)
    faults = check(arguments.root, rules)
    print("\n".join(faults) if faults else "layers: clean")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
