/* Arm semihosting: a program in the emulator, or under a debugger, uses files and the console of the machine that runs it.
 * (Arm, "Semihosting for AArch32 and AArch64": an operation in r0, its arguments behind r1.) */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H
#include <stdint.h>

enum { HOST_OPEN = 0x01, HOST_PRINT = 0x04, HOST_WRITE = 0x05, HOST_READ = 0x06, HOST_EXIT = 0x20 };

static inline uint32_t host_call(uint32_t operation, const void *arguments) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = arguments;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

static inline void host_print(const char *text) { host_call(HOST_PRINT, text); }

/* Opens a file to be written or read, as bytes. Returns a handle, ~0 where that fails. */
static inline uint32_t host_open(const char *name, int writing) {
  uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, writing ? 5 : 1, 0};
  while (name[arguments[2]]) arguments[2]++;
  return host_call(HOST_OPEN, arguments);
}

/* Whether all the bytes were read. */
static inline int host_read(uint32_t file, void *to, uint32_t bytes) {
  const uint32_t arguments[3] = {file, (uint32_t)(uintptr_t)to, bytes};
  return bytes == 0 || host_call(HOST_READ, arguments) == 0;
}

static inline int host_write(uint32_t file, const void *from, uint32_t bytes) {
  const uint32_t arguments[3] = {file, (uint32_t)(uintptr_t)from, bytes};
  return bytes == 0 || host_call(HOST_WRITE, arguments) == 0;
}

/* Ends the program, with the exit status of the emulator. */
static inline void host_exit(uint32_t status) {
  const uint32_t arguments[2] = {0x20026, status}; /* the application has ended */
  host_call(HOST_EXIT, arguments);
}

#endif
