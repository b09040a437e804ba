/* Loaded before a server's own libraries (LD_PRELOAD): its wall clock is wrong by as many seconds as a file says.

   The file, named by SHIFT_CLOCK_FILE, holds one signed number of eight bytes and may be written to at any time. The
   monotonic clock stays right, as it does where a real machine's date is set. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int64_t right = 0;
static volatile int64_t *shift_s = &right;

__attribute__((constructor)) static void open_shift(void) {
  const char *path = getenv("SHIFT_CLOCK_FILE");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file < 0) return;
  void *said = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  if (said != MAP_FAILED) shift_s = said;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*libc)(clockid_t, struct timespec *);
  if (!libc) libc = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int failed = libc(clock, now);
  if (!failed && clock == CLOCK_REALTIME) now->tv_sec += *shift_s;
  return failed;
}
