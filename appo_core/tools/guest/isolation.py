"""Per-call isolation inside the sandbox: fresh namespaces and tmpfs, resource limits, no capabilities."""

import ctypes
import os
import resource

from . import seccomp

TMP_MB = 64
MAX_PROCESSES = 16
MAX_OPEN_FILES = 128

_CLONE_NEWNS, _CLONE_NEWPID = 0x00020000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x4000, 0x40000
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _LAST_CAPABILITY = 38, 24, 63
_CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def new_namespaces() -> None:
    """Own mounts for this process, own process tree for its next child. Raises OSError."""
    _check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID), "unshare")


def fresh_folders() -> None:
    """Empty, size-limited $TMPDIR and /dev/shm; the rest of the tree is read-only. Raises OSError."""
    scratch = os.environ["TMPDIR"]
    _check(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    for folder, size in ((scratch.encode(), TMP_MB), (b"/dev/shm", TMP_MB // 4)):
        options = f"size={size}m,nr_inodes=4096,mode=1777".encode()
        _check(libc.mount(b"tmpfs", folder, b"tmpfs", _MS_NOSUID | _MS_NODEV, options), f"mount {folder.decode()}")
    os.chdir(scratch)


def limit_resources(memory_bytes: int, cpu_s: int, processes: int | None = MAX_PROCESSES) -> None:
    """Hard limits per process (address space, CPU seconds, file size, open files) and per user (processes).

    `processes` None leaves their number to someone else: the limit counts all processes of the user.
    """
    if processes is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    for kind, amount in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, TMP_MB * 2**20),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (amount, amount))


def drop_privileges(uid: int | None) -> None:
    """Become `uid` (None: stay), lose every capability for good, install the system call filter. Raises OSError."""
    for capability in range(_LAST_CAPABILITY + 1):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            break
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "drop capabilities")
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    seccomp.install(libc)
