"""A seccomp filter that refuses what no calculation needs: namespaces, mounts, tracing, keys, System V IPC, modules.

Classic BPF, built by hand (no libseccomp). Refused calls fail with EPERM; `clone3` fails with ENOSYS so that the C
library falls back to `clone`, whose flags the filter can see. Numbers: Linux UAPI tables of x86_64 and aarch64.
"""

import ctypes
import errno
import os
import struct

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_FIRST_ARGUMENT = 0, 4, 16
_NAMESPACE_FLAGS = 0x7E020000 | 0x80  # every CLONE_NEW* flag, CLONE_NEWTIME included
_X32_BIT = 0x40000000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

# open_tree .. fspick, mount_setattr, io_uring_*, pidfd_getfd, memfd_secret: same numbers everywhere
_COMMON = (428, 429, 430, 431, 432, 433, 442, 425, 426, 427, 438, 447)
_DENIED = {
    # ptrace process_vm_* mount umount2 pivot_root unshare setns chroot bpf perf_event_open userfaultfd keyctl add_key
    # request_key shmget semget msgget mq_open kexec_load *_module *_handle_at kcmp memfd_create
    "x86_64": (101, 310, 311, 165, 166, 155, 272, 308, 161, 321, 298, 323, 250, 248, 249, 29, 64, 68, 240, 246, 175,
               313, 176, 303, 304, 312, 319),
    "aarch64": (117, 270, 271, 40, 39, 41, 97, 268, 51, 280, 241, 282, 219, 217, 218, 194, 190, 186, 180, 104, 105,
                273, 106, 264, 265, 272, 279),
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def build(machine: str) -> bytes:
    """The filter for a machine (`os.uname().machine`); raises OSError for an unknown one."""
    if machine not in _DENIED:
        raise OSError(errno.ENOSYS, f"no seccomp table for machine '{machine}'")
    program = [_op(_LOAD, _OFFSET_ARCH), _op(_JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0), _op(_RETURN, _KILL)]
    program += [_op(_LOAD, _OFFSET_NUMBER), _op(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1), _op(_RETURN, _KILL)]
    for number in (*_DENIED[machine], *_COMMON):
        program += [_op(_JUMP_EQUAL, number, 0, 1), _op(_RETURN, _ERRNO | errno.EPERM)]
    program += [_op(_JUMP_EQUAL, _CLONE3, 0, 1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    program += [_op(_JUMP_EQUAL, _CLONE[machine], 0, 3), _op(_LOAD, _OFFSET_FIRST_ARGUMENT)]
    program += [_op(_JUMP_ANY_BIT, _NAMESPACE_FLAGS & ~0xFF, 0, 1), _op(_RETURN, _ERRNO | errno.EPERM)]
    return b"".join([*program, _op(_RETURN, _ALLOW)])


def _op(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def install(libc: ctypes.CDLL) -> None:
    """Bind this process and all its children; needs no_new_privs. Raises OSError."""
    code = build(os.uname().machine)
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp filter refused")
