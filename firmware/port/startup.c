/* Start-up of every machine of the emulator, without vendor headers: vectors, the floating-point unit, memory, main(). A board's own
 * start-up code takes its place. */
#include <stdint.h>

#include "semihosting.h"

extern uint32_t bw_stack_top[], bw_data_source[], bw_data_begin[], bw_data_end[], bw_zero_begin[], bw_zero_end[];
int main(void);

#define COPROCESSORS (*(volatile uint32_t *)0xe000ed88u) /* CPACR */
#define CLAIMED_FAULT_STATUS 127

static void fault(void) {
  host_print("fault\n");
  host_exit(CLAIMED_FAULT_STATUS);
  for (;;) {
  }
}

void bw_start(void) {
  uint32_t *to;
  const uint32_t *from = bw_data_source;
#if __ARM_ARCH > 6
  COPROCESSORS |= 15u << 20; /* 10 and 11: floating point and Helium */
  __asm__ volatile("dsb\n isb" ::: "memory");
#endif
  for (to = bw_data_begin; to < bw_data_end;) *to++ = *from++;
  for (to = bw_zero_begin; to < bw_zero_end;) *to++ = 0;
  host_exit((uint32_t)main());
  for (;;) {
  }
}

typedef void (*vector)(void);

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    (vector)(uintptr_t)bw_stack_top, bw_start, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, fault,
};
