/* The two functions of the C library that core/ needs, for a build without one. */
#ifndef BITWRIGHT_STRING_H
#define BITWRIGHT_STRING_H
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
#endif
