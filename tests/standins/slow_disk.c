/* A disk that stands still: loaded before libc (LD_PRELOAD), every sync waits as long as the file $DISK_STANDS exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_disk(void)
{
    const char *stands = getenv("DISK_STANDS");
    while (stands != NULL && access(stands, F_OK) == 0)
        usleep(20000);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_disk();
    return real(fd);
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_disk();
    return real(fd);
}
