"""What the C file says of itself, and how it refuses compilers that would compute otherwise."""

import re
import subprocess

import numpy as np
import pytest

from kdlib.deployment.c_source import c_source, vectors
from tests.clients.integer_students import WARNINGS, cases, skip_without

ARM = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-Os", *WARNINGS]
PROGRAM = '#include "student.h"\nint said(const double *row, int32_t *logits);\n'
PROGRAM += "int said(const double *row, int32_t *logits) { return student_names[student_predict(row, logits)][0]; }\n"


@pytest.fixture(params=["digits, 8 bits", "digits, 2 bits", "breast cancer, 4 bits"])
def source(request, tmp_path):
    """The text, which is in student.h beside program.c."""
    text = c_source(cases()[request.param][0])
    (tmp_path / "student.h").write_text(text, "ascii")
    (tmp_path / "program.c").write_text(PROGRAM, "ascii")
    return text


def build(folder, *command):
    done = subprocess.run([*command, "-c", "program.c", "-o", "program.o"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def told(text, pattern):
    return int(re.search(pattern, re.sub(r"\s*\n \* ", " ", text))[1])


def test_its_flash_is_what_the_compiler_lays_out(source, tmp_path):
    skip_without(ARM[0], "arm-none-eabi-size")
    build(tmp_path, *ARM, "-O0")  # optimized, some become operands of instructions
    listed = subprocess.run(["arm-none-eabi-size", "-A", "program.o"], cwd=tmp_path, capture_output=True, text=True)
    sizes = {line.split()[0]: int(line.split()[1]) for line in listed.stdout.splitlines() if line.startswith(".")}
    constants = sum(size for name, size in sizes.items() if name.startswith(".rodata"))
    padding = constants - told(source, r"Constants: (\d+) bytes of flash")
    assert 0 <= padding < 8 * source.count("static const ")  # between arrays of doubles, words and bytes
    assert sizes.get(".data", 0) == sizes.get(".bss", 0) == 0


def test_its_stack_is_its_buffers_and_a_few_registers(source, tmp_path):
    skip_without(ARM[0])
    build(tmp_path, *ARM, "-fstack-usage")
    usage = sum(int(line.split("\t")[1]) for line in (tmp_path / "program.su").read_text().splitlines())
    assert 0 <= usage - told(source, r"Buffers: (\d+) bytes") <= 128


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_fast_math_is_refused(source, tmp_path, compiler):
    skip_without(compiler)
    build(tmp_path, compiler, *WARNINGS)
    with pytest.raises(AssertionError, match="plain IEEE 754 doubles"):
        build(tmp_path, compiler, *WARNINGS, "-ffast-math")


def test_it_needs_no_library_and_no_memory_but_the_stack(source):
    includes = re.findall(r"#include (\S+)", source)
    assert includes == ["<float.h>", "<stdint.h>"]
    for line in source.splitlines():
        if re.match(r"\w.*\) \{$|\w.*(=|;)", line):
            assert line.startswith(("static ", "}")), line


@pytest.mark.parametrize("name", cases())
def test_its_vectors_reach_beyond_both_ends_of_all_inputs(name):
    deployed, _ = cases()[name]
    rows, low = vectors(deployed), -deployed.network.zero_point
    scaled = np.ldexp((rows - deployed.offset) * deployed.scale, deployed.network.input_exponent)
    assert (scaled < low).any()
    assert (scaled > low + 255).any()
    assert len(np.unique(deployed.network.inputs((rows - deployed.offset) * deployed.scale))) > min(120, rows.size // 2)
    assert np.array_equal(rows, vectors(deployed))
