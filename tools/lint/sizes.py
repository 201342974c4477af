#!/usr/bin/env python3
"""Lengths of functions, files and headers: median, p90, p99, max, and what is over the aims of CONTRIBUTING.md.

Functions are found by their braces at file or class level after formatting: a line that ends in "{" closes a declaration
that began at an indent of 0 or 2 and looks like a function. Good enough to steer by; prints, never fails.
"""
import pathlib
import re
import sys

TOPS = ("base", "ca", "net", "identity", "mesh", "agent", "proxy", "tools")
NOT_FUNCTION = re.compile(r"^\s*(namespace|struct|class|enum|union|extern|switch|if|for|while|do|else|try|constexpr\s+\w+.*=|.*=\s*\{$)")


def indent_of(line):
    return len(line) - len(line.lstrip())


def declaration(lines, number):
    """The line where the declaration that reaches `number` begins."""
    while number > 0 and lines[number - 1].strip() and not lines[number - 1].rstrip().endswith((";", "{", "}", ":", ">")):
        if lines[number - 1].lstrip().startswith(("//", "#")):
            break
        number -= 1
    return number


def functions(lines):
    """-> (first line, length) of each function body."""
    start = None
    for number, line in enumerate(lines):
        if start is None:
            if not line.rstrip().endswith("{"):
                continue
            first = declaration(lines, number)
            indent = indent_of(lines[first])
            head = " ".join(lines[first:number + 1])
            if indent in (0, 2) and "(" in head and not NOT_FUNCTION.match(lines[first]):
                start, close = first, " " * indent + "}"
        elif line.startswith(close):
            yield start + 1, number - start + 1
            start = None


def spread(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(len(values) * share))]
    return f"n {len(values)}, median {at(0.5)}, p90 {at(0.9)}, p99 {at(0.99)}, max {values[-1]}"


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    lengths, files, headers, over = [], [], [], []
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".cc", ".h"):
                continue
            name = path.relative_to(root)
            lines = path.read_text(encoding="utf-8").splitlines()
            (headers if path.suffix == ".h" else files).append(len(lines))
            if len(lines) > (300 if path.suffix == ".h" else 600):
                over.append(f"{name}: {len(lines)} lines")
            for first, length in functions(lines):
                lengths.append(length)
                if length > 70:
                    over.append(f"{name}:{first}: function of {length} lines")
    print("functions:", spread(lengths))
    print("files:    ", spread(files))
    print("headers:  ", spread(headers))
    print("\n".join(over) or "nothing over the aims")
    return 0


if __name__ == "__main__":
    sys.exit(main())
