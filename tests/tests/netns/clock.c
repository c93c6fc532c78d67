/* A wall clock that is wrong by as many seconds as a variable says: loaded before libc into relays whose operators have
 * set the wrong time zone. Clocks that measure how long something takes are right. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at)
{
	static int (*real)(clockid_t, struct timespec *);
	const char *off = getenv("ZENTALK_TEST_CLOCK_OFF");
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, at);
	if (result == 0 && clock == CLOCK_REALTIME && off)
		at->tv_sec += atol(off);
	return result;
}
