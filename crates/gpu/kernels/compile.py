"""Compiles the kernels with NVRTC: compile.py FOLDER_OF_LIBRARY SOURCE TARGET writes PTX, and machine code
for some devices, into the folder TARGET. Fails where a kernel spills registers to memory.
"""

import ctypes
import re
import sys
from pathlib import Path

folder, source, target = map(Path, sys.argv[1:])
# NVRTC looks for it by name only.
ctypes.CDLL(str(folder / "libnvrtc-builtins.so.12.0"), mode=ctypes.RTLD_GLOBAL)
nvrtc = ctypes.CDLL(str(folder / "libnvrtc.so.12"))
text = source.read_bytes()


def compiled(architecture, kind, *options):
    """What NVRTC makes, and what it says."""
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None) == 0
    all_options = [f"--gpu-architecture={architecture}", *options]
    arguments = (ctypes.c_char_p * len(all_options))(*[option.encode() for option in all_options])
    outcome = nvrtc.nvrtcCompileProgram(program, len(all_options), arguments)
    log = part(program, "ProgramLog").rstrip(b"\0").decode()
    if outcome != 0:
        sys.exit(f"{source.name} does not compile for {architecture}:\n{log}")
    return part(program, kind), log


def part(program, what):
    size = ctypes.c_size_t()
    assert getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    room = ctypes.create_string_buffer(size.value)
    assert getattr(nvrtc, f"nvrtcGet{what}")(program, room) == 0
    return room.raw


target.mkdir(exist_ok=True)
for architecture in ["sm_80", "sm_86", "sm_89", "sm_90"]:
    code, log = compiled(architecture, "CUBIN", "--fmad=false", "--ptxas-options=-v")
    found = re.findall(r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", log, re.S)
    if not found:
        sys.exit(f"NVRTC says nothing of registers:\n{log}")
    for kernel, spilled, registers in found:
        print(f"{architecture} {kernel}: {registers} registers, {spilled} bytes spilled")
        if spilled != "0":
            sys.exit(f"{kernel} spills registers")
    (target / f"{source.stem}.{architecture}.cubin").write_bytes(code)

ptx, log = compiled("compute_80", "PTX", "--fmad=false")
if log.strip():
    sys.exit(log)
(target / f"{source.stem}.ptx").write_bytes(ptx.rstrip(b"\0"))
