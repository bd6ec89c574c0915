/* A disk that fails: preloaded into a server, it makes calls on the files below one path fail when it is told to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, TRUNCATE = 4, READ = 8 };

/* Shared with the test: which calls fail, how, and from which on; how many were made, and how many failed. */
struct plan { volatile int64_t calls, error, from, made, failed; };
static struct plan *plan;
static const char *below;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAILING_DISK_PLAN");
  below = getenv("FAILING_DISK_BELOW");
  int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0 || !below) return;
  void *place = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (place != MAP_FAILED) plan = place;
}

static int fails(int call, int fd) {
  if (!plan || !plan->error || !(plan->calls & call)) return 0;
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, below, strlen(below))) return 0;
  if (__atomic_fetch_add(&plan->made, 1, __ATOMIC_SEQ_CST) < plan->from) return 0;
  __atomic_fetch_add(&plan->failed, 1, __ATOMIC_SEQ_CST);
  errno = (int)plan->error;
  return 1;
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  if (!fails(WRITE, fd)) return NEXT(pwrite64)(fd, bytes, count, at);
  int error = errno;
  if (count > 1) NEXT(pwrite64)(fd, bytes, count / 2, at); /* torn: half of it is there */
  errno = error;
  return -1;
}
ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
  return fails(READ, fd) ? -1 : NEXT(pread64)(fd, bytes, count, at);
}
int fsync(int fd) { return fails(SYNC, fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails(SYNC, fd) ? -1 : NEXT(fdatasync)(fd); }
int ftruncate64(int fd, off64_t size) { return fails(TRUNCATE, fd) ? -1 : NEXT(ftruncate64)(fd, size); }
