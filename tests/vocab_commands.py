"""What tests of `koine vocab` share: its settings, and what every answer must be like."""

import json

import pytest

from tests_support import call

SETTINGS = "vocab:\n  size: 3500\n  sample_mb: 2\n  parity: {max_rounds: 2, sample_mb: 1}\n"
HERE = ("--runner", "in-process")
COMMANDS = ("train", "report", "encode", "verify", "pieces")


def vocab(command, *arguments):
    return call("vocab", command, *arguments)


def parsed(command, *arguments):
    """The one JSON object that a command prints; nothing else is said where it is quiet."""
    answer = vocab(command, *arguments, "--json")
    assert answer.code == 0, answer.errors
    value = json.loads(answer.out, parse_constant=pytest.fail)
    assert isinstance(value, dict)
    return value


def assert_refused(answer, code, *parts):
    """One message: a place and a fact, then a remedy."""
    assert answer.code == code, answer.errors
    assert answer.out == ""
    lines = answer.errors.splitlines()
    assert len(lines) == 2, answer.errors
    assert lines[1].startswith("  ")
    for part in parts:
        assert part in answer.errors


def flip(path, at=100):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
