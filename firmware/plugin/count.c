/* QEMU plugin: counts the instructions between marks of the guest, exactly. Marks are Thumb hints that mean nothing to Cortex-M: 0xbf50
 * begins a frame of audio, 0xbf60 a layer, 0xbf70 ends either, 0xbf80 is an answer; they do not count.
 *   -plugin file=count.so,out=FILE    FILE: for each pair of marks a little-endian uint64, 4 * instructions + (1 for a layer); 2 for an answer
 *
 * A block of translated code counts as a whole when it begins, and a mark takes off what of its block is still to come. The declarations
 * are those of qemu-plugin.h that are used; versions of the interface differ in one of them, see mark_of(). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PLUGIN_API
#define PLUGIN_API 1
#endif
#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t plugin_id;
typedef struct {
  const char *target;
  struct {
    int min, cur;
  } version;
} plugin_host;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
/* Until version 2 a pointer to the bytes; from version 3 on they are copied to the other arguments, which older ones do not look at. */
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);

EXPORTED int qemu_plugin_version = PLUGIN_API;

enum { NO_MARK = 0, FRAME = 0xbf50, LAYER = 0xbf60, END = 0xbf70, ANSWER = 0xbf80 };

static FILE *out;
static int copies;
static uint64_t executed, began;
static unsigned kind;

static unsigned mark_of(const struct qemu_plugin_insn *instruction) {
  uint16_t code = 0;
  if (qemu_plugin_insn_size(instruction) != 2) return NO_MARK;
  if (copies) qemu_plugin_insn_data(instruction, &code, sizeof code);
  else memcpy(&code, qemu_plugin_insn_data(instruction, NULL, 0), sizeof code);
  return code == FRAME || code == LAYER || code == END || code == ANSWER ? code : NO_MARK;
}

static void on_block(unsigned cpu, void *instructions) {
  (void)cpu;
  executed += (uintptr_t)instructions;
}

/* `rest`: instructions of the block from the mark on. */
static void on_frame(unsigned cpu, void *rest) {
  (void)cpu;
  began = executed - (uintptr_t)rest + 1;
  kind = FRAME;
}

static void on_layer(unsigned cpu, void *rest) {
  on_frame(cpu, rest);
  kind = LAYER;
}

static void on_end(unsigned cpu, void *rest) {
  const uint64_t word = 4 * (executed - (uintptr_t)rest - began) + (kind == LAYER);
  (void)cpu;
  fwrite(&word, sizeof word, 1, out);
}

static void on_answer(unsigned cpu, void *rest) {
  const uint64_t word = 2;
  (void)cpu, (void)rest;
  fwrite(&word, sizeof word, 1, out);
}

/* What a mark does. */
static void (*action_of(unsigned mark))(unsigned, void *) {
  return mark == FRAME ? on_frame : mark == LAYER ? on_layer : mark == END ? on_end : on_answer;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *block) {
  const size_t count = qemu_plugin_tb_n_insns(block);
  size_t i;
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, 0, (void *)(uintptr_t)count);
  for (i = 0; i < count; i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
    const unsigned mark = mark_of(instruction);
    if (mark == NO_MARK) continue;
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, action_of(mark), 0, (void *)(uintptr_t)(count - i));
  }
}

static void on_close(plugin_id id, void *unused) {
  (void)id;
  (void)unused;
  fclose(out);
}

EXPORTED int qemu_plugin_install(plugin_id id, const plugin_host *host, int count, char **arguments) {
  if (count != 1 || strncmp(arguments[0], "out=", 4) != 0) {
    fputs("count: give out=FILE\n", stderr);
    return 1;
  }
  out = fopen(arguments[0] + 4, "wb");
  if (!out) {
    perror(arguments[0] + 4);
    return 1;
  }
  copies = host->version.cur >= 3;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_close, NULL);
  return 0;
}
