/* Comes between a program and the C library's calls of the file system, by LD_PRELOAD, and spoils one of them.
 *
 * Nothing happens until `interposer_arm` is called. From then on, calls that concern files below a folder are
 * counted; the one of a given number ends the process, or fails with an error, and so do those after it if
 * that is asked for (a full disk stays full). `listen` writes the address to a file that a variable names.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHANGE = 1, OPEN = 2, READ = 4 };

static char below[PATH_MAX];
static size_t below_length;
static int counted_kinds, action, is_sticky;
static long chosen;
static atomic_long calls, calls_of[8]; /* in all, and by their kinds */

void interposer_arm(const char *folder, int kinds, long number, int error, int sticky) {
    strncpy(below, folder, sizeof below - 1);
    below_length = strlen(below);
    counted_kinds = kinds;
    chosen = number;
    action = error;
    is_sticky = sticky;
    atomic_store(&calls, 0);
    for (int kind = 0; kind < 8; kind++) atomic_store(&calls_of[kind], 0);
}

/* Return how many calls of some kinds there were. */
long interposer_calls(int kinds) {
    long count = 0;
    for (int kind = 0; kind < 8; kind++)
        if (kind & kinds) count += atomic_load(&calls_of[kind]);
    return count;
}

static int is_below(int folder, const char *path) {
    char full[PATH_MAX * 2] = "", link[64];
    ssize_t length = 0;
    if (!path || path[0] != '/') {
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = syscall(SYS_readlink, link, full, PATH_MAX - 1);
        if (length < 0) return 0;
        full[length++] = '/';
    }
    if (path) strncpy(full + length, path, PATH_MAX - 1);
    return !strncmp(full, below, below_length) && (full[below_length] == '/' || !full[below_length]);
}

/* Return whether this call is to fail; errno is set then. */
static int fails(int kind, int folder, const char *path) {
    if (!(counted_kinds & kind) || !is_below(folder, path)) return 0;
    atomic_fetch_add(&calls_of[kind], 1);
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (!chosen || (is_sticky ? number < chosen : number != chosen)) return 0;
    if (action < 0) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = action;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opens(int folder, const char *path, int flags) {
    int changes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
    return fails(OPEN | (changes ? CHANGE : READ), folder, path);
}

#define MODE                                  \
    mode_t mode = 0;                          \
    if (flags & (O_CREAT | O_TMPFILE)) {      \
        va_list rest;                         \
        va_start(rest, flags);                \
        mode = va_arg(rest, mode_t);          \
        va_end(rest);                         \
    }

int open(const char *path, int flags, ...) {
    MODE return opens(AT_FDCWD, path, flags) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE return opens(AT_FDCWD, path, flags) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE return opens(folder, path, flags) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE return opens(folder, path, flags) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
DIR *opendir(const char *path) {
    return fails(OPEN | READ, AT_FDCWD, path) ? NULL : REAL(opendir)(path);
}

#define WRAP(kind, folder, path, result, name, declared, passed) \
    result name declared { return fails(kind, folder, path) ? (result)-1 : REAL(name) passed; }

WRAP(READ, fd, NULL, ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
WRAP(READ, fd, NULL, ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
WRAP(READ, fd, NULL, ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
WRAP(CHANGE, fd, NULL, ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
WRAP(CHANGE, fd, NULL, ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
WRAP(CHANGE, fd, NULL, ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at),
     (fd, from, size, at))
WRAP(CHANGE, fd, NULL, int, fsync, (int fd), (fd))
WRAP(CHANGE, fd, NULL, int, fdatasync, (int fd), (fd))
WRAP(CHANGE, fd, NULL, int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(CHANGE, fd, NULL, int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(CHANGE, AT_FDCWD, to, int, rename, (const char *from, const char *to), (from, to))
WRAP(CHANGE, folder, to, int, renameat, (int other, const char *from, int folder, const char *to),
     (other, from, folder, to))
WRAP(CHANGE, AT_FDCWD, to, int, link, (const char *from, const char *to), (from, to))
WRAP(CHANGE, folder, to, int, linkat, (int other, const char *from, int folder, const char *to, int flags),
     (other, from, folder, to, flags))
WRAP(CHANGE, AT_FDCWD, path, int, unlink, (const char *path), (path))
WRAP(CHANGE, folder, path, int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
WRAP(CHANGE, AT_FDCWD, path, int, rmdir, (const char *path), (path))
WRAP(CHANGE, AT_FDCWD, path, int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(CHANGE, folder, path, int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode))

int listen(int fd, int backlog) {
    const char *log = getenv("INTERPOSER_LISTENERS");
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char text[INET6_ADDRSTRLEN] = "a local socket", line[INET6_ADDRSTRLEN + 2];
    if (log && !getsockname(fd, (struct sockaddr *)&address, &length)) {
        if (address.ss_family == AF_INET)
            inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text, sizeof text);
        if (address.ss_family == AF_INET6)
            inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, text, sizeof text);
        int file = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        int size = snprintf(line, sizeof line, "%s\n", text);
        if (file >= 0) {
            ssize_t written = REAL(write)(file, line, size);
            (void)written;
            close(file);
        }
    }
    return REAL(listen)(fd, backlog);
}
