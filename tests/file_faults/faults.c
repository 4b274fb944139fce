// An LD_PRELOAD library that makes the N-th change of a file below a folder fail, or kills the process there.
//
//   FAULT_DIR   the folder, as the program names it; if unset, nothing is counted
//   FAULT_AT    N, from 1
//   FAULT_MODE  kill: before the change; after: after it; torn: after half of a write; eio, enospc: fail with this error
//   FAULT_ON    if set, all changes from the N-th on
//   FAULT_NAME  only renames to a path that contains this count
//   FAULT_LOG   a file to which a line is appended for each change

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FDS = 1024 };
enum mode { NONE, KILL, AFTER, TORN, FAIL };

static char tracked[FDS];
static int changes;

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int below(const char *path) {
    const char *dir = getenv("FAULT_DIR");
    return dir && !strncmp(path, dir, strlen(dir));
}

// What happens to a change. Kills the process here in mode `kill`, and sets errno if it must fail.
static enum mode change(const char *what, const char *path) {
    const char *name = getenv("FAULT_NAME");
    if (name && (strcmp(what, "rename") || !strstr(path, name))) return NONE;
    int number = __sync_add_and_fetch(&changes, 1);
    const char *log = getenv("FAULT_LOG"), *at = getenv("FAULT_AT"), *mode = getenv("FAULT_MODE");
    if (log) {
        char line[4096];
        int length = snprintf(line, sizeof line, "%s %s\n", what, path);
        int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        syscall(SYS_write, fd, line, length);
        syscall(SYS_close, fd);
    }
    if (!at || !mode || number < atoi(at) || (number > atoi(at) && !getenv("FAULT_ON"))) return NONE;
    if (!strcmp(mode, "kill")) die();
    if (!strcmp(mode, "after")) return AFTER;
    if (!strcmp(mode, "torn")) return TORN;
    errno = strcmp(mode, "eio") ? ENOSPC : EIO;
    return FAIL;
}

static long then(enum mode mode, long result) {
    if (mode == AFTER || mode == TORN) die();
    return result;
}

// Counts a change of `path`, then makes it or fails. If the call itself fails, syscall() has set errno and returned -1.
#define CHANGE(path, what, call)                          \
    do {                                                  \
        if (!below(path)) return call;                    \
        enum mode mode = change(what, path);              \
        return mode == FAIL ? -1 : then(mode, call);      \
    } while (0)

static int open_at(int dir, const char *path, int flags, mode_t permissions) {
    int writes = below(path) && (flags & O_ACCMODE) != O_RDONLY;
    enum mode mode = writes && flags & O_CREAT ? change("create", path) : NONE;
    if (mode == FAIL) return -1;
    int fd = then(mode, syscall(SYS_openat, dir, path, flags, permissions));
    if (fd >= 0 && fd < FDS) tracked[fd] = writes;
    return fd;
}

#define OPEN(name, first, dir)                            \
    int name(first const char *path, int flags, ...) {    \
        va_list more;                                     \
        va_start(more, flags);                            \
        mode_t permissions = va_arg(more, mode_t);        \
        va_end(more);                                     \
        return open_at(dir, path, flags, permissions);    \
    }
#define NO
#define DIR_ARGUMENT int dir,
OPEN(open, NO, AT_FDCWD)
OPEN(open64, NO, AT_FDCWD)
OPEN(openat, DIR_ARGUMENT, dir)
OPEN(openat64, DIR_ARGUMENT, dir)

static int is_tracked(int fd) { return fd >= 0 && fd < FDS && tracked[fd]; }

int close(int fd) {
    if (is_tracked(fd)) tracked[fd] = 0;
    return syscall(SYS_close, fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (!is_tracked(fd)) return syscall(SYS_write, fd, bytes, count);
    enum mode mode = change("write", "");
    if (mode == FAIL) return -1;
    return then(mode, syscall(SYS_write, fd, bytes, mode == TORN ? count / 2 : count));
}

int fsync(int fd) {
    if (!is_tracked(fd)) return syscall(SYS_fsync, fd);
    enum mode mode = change("sync", "");
    return mode == FAIL ? -1 : then(mode, syscall(SYS_fsync, fd));
}

int rename(const char *from, const char *to) { CHANGE(to, "rename", syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0)); }
int unlink(const char *path) { CHANGE(path, "unlink", syscall(SYS_unlinkat, AT_FDCWD, path, 0)); }
int rmdir(const char *path) { CHANGE(path, "rmdir", syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)); }
int mkdir(const char *path, mode_t mode_) { CHANGE(path, "mkdir", syscall(SYS_mkdirat, AT_FDCWD, path, mode_)); }
