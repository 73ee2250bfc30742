/* Records, in the order in which they happen, what a process does to the files below one folder and what it
 * sends through sockets. Loaded into it with LD_PRELOAD by tests/it/recording.rs, which reads the log.
 *
 * POWER_CUT_FOLDER is the folder, as an absolute path without links; POWER_CUT_LOG the log. It is appended
 * to, so that several processes, one after the other, share one order of things.
 *
 * When there is a file with the log's name and .kill behind it, the process dies as by kill -9 before the next
 * thing that would be recorded: killed from outside, it might have done what is not in the log yet.
 *
 * What changes something is done and noted under one lock, so the log has the order in which it was done. A
 * sync takes long and holds no lock: it is noted when it begins and when it has ended, and makes durable only
 * what was noted before it began. The files -shm and .lock are left out: nothing in them survives a power cut.
 *
 * One record: KIND THREAD INODE NUMBER LENGTH LENGTH, a newline, and two byte strings of those lengths.
 *   H  the recorder is at work           C  a file was created: path
 *   W  written at NUMBER: bytes          T  cut or extended to NUMBER
 *   N  renamed: from, to                 K  another name: from, to
 *   U  a name was removed: path          M  a folder was created: path
 *   B  a sync of a path begins           E  this thread's sync has ended well
 *   S  sent through a socket: bytes      X  done what nobody can replay: its name, path
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The C library's own function behind the one defined here. */
#define REAL(result, name, ...)                                                                                \
    static result (*real)(__VA_ARGS__);                                                                        \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static char folder[PATH_MAX], kill_order[PATH_MAX];
static int log_fd = -1;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

/* What a descriptor is to us. */
enum kind { NOTHING, A_FILE, A_FOLDER, A_SOCKET };
struct watched {
    enum kind kind;
    unsigned long inode;
    char path[PATH_MAX];
};

static void fail(const char *why) {
    dprintf(2, "recorder: %s: %s\n", why, strerror(errno));
    abort();
}

/* A signal handler may write, too: none runs while the lock is held. */
static void begin(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
    pthread_mutex_lock(&order);
    if (*kill_order && access(kill_order, F_OK) == 0) {
        kill(getpid(), SIGKILL);
        pause();
    }
}

static void end(const sigset_t *before) {
    pthread_mutex_unlock(&order);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Appends a record. A call that worked stays one that worked: errno is left alone. */
static void note(char kind, unsigned long inode, long number, const void *one, size_t one_length,
                 const void *two, size_t two_length) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    int error = errno;
    char head[128];
    int length = snprintf(head, sizeof head, "%c %ld %lu %ld %zu %zu\n", kind, syscall(SYS_gettid), inode,
                          number, one_length, two_length);
    struct iovec parts[3] = {{head, (size_t)length}, {(void *)one, one_length}, {(void *)two, two_length}};
    if (real(log_fd, parts, 3) != (ssize_t)((size_t)length + one_length + two_length)) fail("write the log");
    errno = error;
}

static void note_path(char kind, unsigned long inode, const char *path) {
    note(kind, inode, 0, path, strlen(path), "", 0);
}

static int ends_with(const char *path, const char *end) {
    size_t length = strlen(path), end_length = strlen(end);
    return length >= end_length && strcmp(path + length - end_length, end) == 0;
}

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return log_fd >= 0 && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0) &&
           !ends_with(path, "-shm") && !ends_with(path, ".lock");
}

/* Where a descriptor leads, whoever opened or copied it. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (ends_with(path, " (deleted)")) path[(size_t)length - strlen(" (deleted)")] = 0;
    return 1;
}

static void watch(int fd, struct watched *found) {
    struct stat status;
    found->kind = NOTHING;
    if (log_fd < 0 || fstat(fd, &status) != 0) return;
    found->inode = (unsigned long)status.st_ino;
    if (S_ISSOCK(status.st_mode)) {
        found->kind = A_SOCKET;
    } else if ((S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) && path_of(fd, found->path) &&
               is_below(found->path)) {
        found->kind = S_ISREG(status.st_mode) ? A_FILE : A_FOLDER;
    }
}

/* The path without links and dots in its folders; whether it is below ours. */
static int resolve(int at, const char *path, char *resolved) {
    char whole[PATH_MAX] = "", parent[PATH_MAX];
    if (log_fd < 0) return 0;
    if (path[0] != '/') {
        if (at == AT_FDCWD ? !getcwd(whole, sizeof whole) : !path_of(at, whole)) return 0;
        strncat(whole, "/", sizeof whole - strlen(whole) - 1);
    }
    strncat(whole, path, sizeof whole - strlen(whole) - 1);
    while (strlen(whole) > 1 && ends_with(whole, "/")) whole[strlen(whole) - 1] = 0;
    char *name = strrchr(whole, '/') + 1;
    char kept = *name;
    *name = 0;
    if (!realpath(whole, parent)) return 0;
    *name = kept;
    return snprintf(resolved, PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", name) < PATH_MAX &&
           is_below(resolved);
}

__attribute__((constructor)) static void start(void) {
    const char *where = getenv("POWER_CUT_FOLDER"), *log = getenv("POWER_CUT_LOG");
    if (!where || !log) return;
    snprintf(folder, sizeof folder, "%s", where);
    int fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    /* Out of the way of shells, which count from below. */
    log_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (log_fd < 0) fail("open the log");
    close(fd);
    snprintf(kill_order, sizeof kill_order, "%s.kill", log);
    note_path('H', 0, folder);
}

/* Opening. */

static int note_opened(int fd, int at, const char *path, int flags, int existed) {
    struct stat status;
    char resolved[PATH_MAX];
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !resolve(at, path, resolved)) return fd;
    if (!existed) note_path('C', (unsigned long)status.st_ino, resolved);
    else if (flags & O_TRUNC) note('T', (unsigned long)status.st_ino, 0, "", 0, "", 0);
    return fd;
}

#define OPENING(at, path, flags, call)                                                                         \
    mode_t mode = 0;                                                                                           \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                   \
        va_list rest;                                                                                          \
        va_start(rest, flags);                                                                                 \
        mode = va_arg(rest, mode_t);                                                                           \
        va_end(rest);                                                                                          \
    }                                                                                                          \
    if (log_fd < 0 || !((flags) & (O_CREAT | O_TRUNC))) return call;                                           \
    sigset_t before;                                                                                           \
    begin(&before);                                                                                            \
    int existed = faccessat(at, path, F_OK, 0) == 0;                                                           \
    int fd = note_opened(call, at, path, flags, existed);                                                      \
    end(&before);                                                                                              \
    return fd

int open(const char *path, int flags, ...) {
    REAL(int, open, const char *, int, ...);
    OPENING(AT_FDCWD, path, flags, real(path, flags, mode));
}
int open64(const char *path, int flags, ...) {
    REAL(int, open64, const char *, int, ...);
    OPENING(AT_FDCWD, path, flags, real(path, flags, mode));
}
int openat(int at, const char *path, int flags, ...) {
    REAL(int, openat, int, const char *, int, ...);
    OPENING(at, path, flags, real(at, path, flags, mode));
}
int openat64(int at, const char *path, int flags, ...) {
    REAL(int, openat64, int, const char *, int, ...);
    OPENING(at, path, flags, real(at, path, flags, mode));
}
int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Writing and sending. `at` is -1 where the descriptor knows its place. */

static void note_written(int fd, const struct watched *to, const struct iovec *parts, ssize_t done, off64_t at) {
    if (to->kind == A_FILE && at < 0 && done > 0) at = lseek64(fd, 0, SEEK_CUR) - done;
    for (; done > 0; parts++) {
        size_t length = parts->iov_len < (size_t)done ? parts->iov_len : (size_t)done;
        note(to->kind == A_SOCKET ? 'S' : 'W', to->inode, at, parts->iov_base, length, "", 0);
        at += (off64_t)length;
        done -= (ssize_t)length;
    }
}

#define WRITING(fd, parts, at, call)                                                                           \
    struct watched to;                                                                                         \
    watch(fd, &to);                                                                                            \
    if (to.kind == NOTHING) return call;                                                                       \
    sigset_t before;                                                                                           \
    begin(&before);                                                                                            \
    ssize_t done = call;                                                                                       \
    note_written(fd, &to, parts, done, at);                                                                    \
    end(&before);                                                                                              \
    return done

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    struct iovec part = {(void *)bytes, length};
    WRITING(fd, &part, -1, real(fd, bytes, length));
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    WRITING(fd, parts, -1, real(fd, parts, count));
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    struct iovec part = {(void *)bytes, length};
    WRITING(fd, &part, at, real(fd, bytes, length, at));
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    struct iovec part = {(void *)bytes, length};
    WRITING(fd, &part, at, real(fd, bytes, length, at));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    WRITING(fd, parts, at, real(fd, parts, count, at));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
    WRITING(fd, parts, at, real(fd, parts, count, at));
}
ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    struct iovec part = {(void *)bytes, length};
    WRITING(fd, &part, -1, real(fd, bytes, length, flags));
}
ssize_t sendto(int fd, const void *bytes, size_t length, int flags, const struct sockaddr *address,
               socklen_t address_length) {
    REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    struct iovec part = {(void *)bytes, length};
    WRITING(fd, &part, -1, real(fd, bytes, length, flags, address, address_length));
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    WRITING(fd, message->msg_iov, -1, real(fd, message, flags));
}

/* Sizes. */

#define SIZING(fd, size, call)                                                                                 \
    struct watched to;                                                                                         \
    watch(fd, &to);                                                                                            \
    if (to.kind != A_FILE) return call;                                                                        \
    sigset_t before;                                                                                           \
    begin(&before);                                                                                            \
    int failed = call;                                                                                         \
    if (!failed) note('T', to.inode, (long)(size), "", 0, "", 0);                                              \
    end(&before);                                                                                              \
    return failed

int ftruncate(int fd, off_t size) {
    REAL(int, ftruncate, int, off_t);
    SIZING(fd, size, real(fd, size));
}
int ftruncate64(int fd, off64_t size) {
    REAL(int, ftruncate64, int, off64_t);
    SIZING(fd, size, real(fd, size));
}

/* Syncs. */

static int sync_with(int (*real)(int), int fd) {
    struct watched to;
    watch(fd, &to);
    if (to.kind != A_FILE && to.kind != A_FOLDER) return real(fd);
    sigset_t before;
    begin(&before);
    note_path('B', to.inode, to.path);
    end(&before);
    int failed = real(fd);
    begin(&before);
    if (!failed) note_path('E', to.inode, to.path);
    end(&before);
    return failed;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return sync_with(real, fd);
}
int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return sync_with(real, fd);
}

/* Names. */

static int note_moved(char kind, int failed, int before_known, const char *from, int after_known, const char *to) {
    if (failed || !(before_known || after_known)) return failed;
    if (before_known && after_known) note(kind, 0, 0, from, strlen(from), to, strlen(to));
    else note_path('X', 0, "a name across the folder's border");
    return failed;
}

#define MOVING(kind, from_at, from, to_at, to, call)                                                           \
    char source[PATH_MAX], target[PATH_MAX];                                                                   \
    sigset_t before;                                                                                           \
    begin(&before);                                                                                            \
    int from_known = resolve(from_at, from, source), to_known = resolve(to_at, to, target);                    \
    int failed = note_moved(kind, call, from_known, source, to_known, target);                                 \
    end(&before);                                                                                              \
    return failed

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    MOVING('N', AT_FDCWD, from, AT_FDCWD, to, real(from, to));
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    MOVING('N', from_at, from, to_at, to, real(from_at, from, to_at, to));
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    MOVING(flags & RENAME_EXCHANGE ? 'X' : 'N', from_at, from, to_at, to, real(from_at, from, to_at, to, flags));
}
int link(const char *from, const char *to) {
    REAL(int, link, const char *, const char *);
    MOVING('K', AT_FDCWD, from, AT_FDCWD, to, real(from, to));
}
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    MOVING('K', from_at, from, to_at, to, real(from_at, from, to_at, to, flags));
}

#define NAMING(kind, at, path, call)                                                                           \
    char resolved[PATH_MAX];                                                                                   \
    sigset_t before;                                                                                           \
    begin(&before);                                                                                            \
    int is_known = resolve(at, path, resolved);                                                                \
    int failed = call;                                                                                         \
    if (!failed && is_known) note_path(kind, 0, resolved);                                                     \
    end(&before);                                                                                              \
    return failed

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    NAMING('U', AT_FDCWD, path, real(path));
}
int unlinkat(int at, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    NAMING('U', at, path, real(at, path, flags));
}
int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    NAMING('U', AT_FDCWD, path, real(path));
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    NAMING('M', AT_FDCWD, path, real(path, mode));
}
int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    NAMING('M', at, path, real(at, path, mode));
}

/* What the replay does not know; the test fails if it ever happens. */

static void note_unknown(const char *name, int fd) {
    struct watched to;
    sigset_t before;
    watch(fd, &to);
    if (to.kind != A_FILE) return;
    begin(&before);
    note('X', to.inode, 0, name, strlen(name), to.path, strlen(to.path));
    end(&before);
}

#define IS_SHARED(protection, flags) (((protection) & PROT_WRITE) && ((flags) & MAP_SHARED))

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at) {
    REAL(void *, mmap, void *, size_t, int, int, int, off_t);
    if (fd >= 0 && IS_SHARED(protection, flags)) note_unknown("mmap", fd);
    return real(address, length, protection, flags, fd, at);
}
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t at) {
    REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
    if (fd >= 0 && IS_SHARED(protection, flags)) note_unknown("mmap", fd);
    return real(address, length, protection, flags, fd, at);
}
int truncate(const char *path, off_t size) {
    REAL(int, truncate, const char *, off_t);
    NAMING('X', AT_FDCWD, path, real(path, size));
}
int truncate64(const char *path, off64_t size) {
    REAL(int, truncate64, const char *, off64_t);
    NAMING('X', AT_FDCWD, path, real(path, size));
}
int fallocate(int fd, int mode, off_t at, off_t length) {
    REAL(int, fallocate, int, int, off_t, off_t);
    note_unknown("fallocate", fd);
    return real(fd, mode, at, length);
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    REAL(int, fallocate64, int, int, off64_t, off64_t);
    note_unknown("fallocate", fd);
    return real(fd, mode, at, length);
}
int posix_fallocate(int fd, off_t at, off_t length) {
    REAL(int, posix_fallocate, int, off_t, off_t);
    note_unknown("fallocate", fd);
    return real(fd, at, length);
}
int posix_fallocate64(int fd, off64_t at, off64_t length) {
    REAL(int, posix_fallocate64, int, off64_t, off64_t);
    note_unknown("fallocate", fd);
    return real(fd, at, length);
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    note_unknown("copy_file_range", to);
    return real(from, from_at, to, to_at, length, flags);
}
ssize_t sendfile(int to, int from, off_t *at, size_t length) {
    REAL(ssize_t, sendfile, int, int, off_t *, size_t);
    note_unknown("sendfile", to);
    return real(to, from, at, length);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t length) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    note_unknown("sendfile", to);
    return real(to, from, at, length);
}
