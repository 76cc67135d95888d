"""Every foreseeable mishap has one sentence."""

import errno

import pytest

from pytake import trouble


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EACCES, "closed to this user"),
        (errno.EROFS, "closed to"),
    ],
)
def test_a_failed_file_operation_is_explained(number, sentence):
    error = OSError(number, "Something", "/data/x")

    assert sentence in str(trouble.from_oserror(error, "/data"))
    assert "/data/x" in str(trouble.from_oserror(error, "/data"))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("initdb: could not write file: No space left on device", "disk is full"),
        (
            "postgres: error while loading shared libraries: libz.so.1: cannot open shared object file",
            "libz.so.1",
        ),
        ("mkdir: Permission denied", "closed to this user"),
        ("something else", "it failed"),
    ],
)
def test_what_a_program_printed_is_explained(said, sentence):
    assert sentence in str(trouble.from_output(said, "/data", "it failed"))
