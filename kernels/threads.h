// Threads of one program: the barrier between commands. All threads run the same commands, each on its share, and meet here
// before the next command reads what this one wrote. A training step has dozens of barriers a few hundred microseconds apart, so
// a waiter spins first (0.1 us when the others are close) and sleeps only when the others are late (a wake-up costs 5 to 50 us).
// Linux sleeps on a futex, WebAssembly on memory.atomic.wait32, other systems in short naps.
#pragma once
#include <stdint.h>

#if defined(__wasm__)
static inline void bw_pause(void) {}
static inline void bw_sleep(uint32_t *word, uint32_t value) { __builtin_wasm_memory_atomic_wait32((int *)word, (int)value, -1); }
static inline void bw_wake(uint32_t *word) { __builtin_wasm_memory_atomic_notify((int *)word, (unsigned)-1); }
#else
#if defined(__x86_64__) || defined(__i386__)
static inline void bw_pause(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
static inline void bw_pause(void) { __asm__ __volatile__("isb"); }
#else
static inline void bw_pause(void) {}
#endif
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
static inline void bw_sleep(uint32_t *word, uint32_t value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0); }
static inline void bw_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0); }
#else
#include <time.h>
static inline void bw_sleep(uint32_t *word, uint32_t value) {
  struct timespec nap = {0, 50000};
  (void)word, (void)value;
  nanosleep(&nap, 0);
}
static inline void bw_wake(uint32_t *word) { (void)word; }
#endif
#endif

// Waits until *word is no longer `value`: `spins` looks, then sleep. `sleepers` counts the sleeping, so that waking nobody is free.
static inline void bw_wait_while(uint32_t *word, uint32_t value, uint32_t *sleepers, uint32_t spins) {
  for (uint32_t i = 0; i < spins; i++) {
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) return;
    bw_pause();
  }
  // Sequentially consistent on both sides: either the sleeper sees the new word, or the waker sees the sleeper.
  __atomic_add_fetch(sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) bw_sleep(word, value);
  __atomic_sub_fetch(sleepers, 1, __ATOMIC_SEQ_CST);
}

// Steps *word on and wakes whoever sleeps on it.
static inline void bw_advance(uint32_t *word, uint32_t *sleepers) {
  __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(sleepers, __ATOMIC_SEQ_CST) != 0) bw_wake(word);
}

typedef struct {
  uint32_t arrived;    // threads that have reached the current barrier
  uint32_t generation; // steps on when all have arrived; the word the others watch
  uint32_t sleepers;
  uint32_t broken;     // a thread left the program: nobody may wait for it
  uint32_t spins;      // looks before sleeping; 0 where there are more threads than cores
  uint32_t padding[11];
} bw_barrier; // one cache line

// Returns when all `threads` have called it; what each wrote before is then visible to all. Does nothing for one thread.
static inline void bw_barrier_wait(bw_barrier *barrier, int threads) {
  if (threads == 1) return;
  // Generation before broken: who still sees broken == 0 holds a generation that breaking has yet to step on.
  uint32_t generation = __atomic_load_n(&barrier->generation, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&barrier->broken, __ATOMIC_SEQ_CST)) return;
  if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_SEQ_CST) == (uint32_t)threads) {
    __atomic_store_n(&barrier->arrived, 0, __ATOMIC_SEQ_CST);
    bw_advance(&barrier->generation, &barrier->sleepers);
  } else {
    bw_wait_while(&barrier->generation, generation, &barrier->sleepers, barrier->spins);
  }
}

// Releases everybody from this and all later barriers, because one thread will not come.
static inline void bw_barrier_break(bw_barrier *barrier) {
  __atomic_store_n(&barrier->broken, 1, __ATOMIC_SEQ_CST);
  bw_advance(&barrier->generation, &barrier->sleepers);
}

// Makes a broken barrier whole again; only while no thread is inside.
static inline void bw_barrier_mend(bw_barrier *barrier) {
  __atomic_store_n(&barrier->arrived, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&barrier->broken, 0, __ATOMIC_SEQ_CST);
}
